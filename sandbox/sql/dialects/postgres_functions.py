"""Which functions of PostgreSQL may a statement call? Those of pg_catalog that read nothing but their arguments.

Left out, and so refused: what reaches outside or tells of the server, session or catalogue (`pg_*`, `current_setting`,
`version`, `to_reg*`, `has_*_privilege`, `txid_*`, `inet_*_addr`, …), what changes something (`set_config`, `setseed`,
`nextval`, `lo_*`, advisory locks), what runs SQL or names relations in a text (`query_to_xml` and its family,
`ts_stat`, `ts_rewrite`), what takes a row type by example (`json_populate_record`), XML, and `array_fill`,
which makes memory out of a number. `generate_series` is in: its rows are made one by one, so that every limit and a
cancel end it. `random` is in too: it is volatile, but all that it reads is a generator that each session has for
itself. What `lpad`, `rpad` and `repeat` make is bounded by `rules/costly.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from sandbox.sql.dialects.base import Function

_SCALARS: Final = """
    coalesce greatest least nullif row grouping
    abs acos acosd acosh asin asind asinh atan atan2 atan2d atand atanh cbrt ceil ceiling cos cosd cosh cot cotd degrees
    div erf erfc exp floor gcd lcm ln log log10 min_scale mod pi pow power radians random round scale sign sin sind sinh
    sqrt tan tand tanh trim_scale trunc width_bucket
    int2mul int2div int2mi int2pl int4mul int4div int4mi int4pl int8mul int8div int8mi int8pl

    ascii bit_count bit_length btrim casefold char_length character_length chr concat concat_ws convert_from convert_to
    crc32 crc32c decode encode format get_bit get_byte initcap left length lower lpad ltrim md5 normalize octet_length
    parse_ident quote_ident quote_literal quote_nullable regexp_count regexp_instr regexp_like regexp_match
    regexp_replace regexp_split_to_array regexp_substr repeat replace reverse right rpad rtrim set_bit set_byte sha224
    sha256 sha384 sha512 split_part starts_with string_to_array strpos substr to_bin to_hex to_oct translate unistr
    upper

    age date date_add date_bin date_part date_subtract date_trunc isfinite justify_days justify_hours justify_interval
    localtime localtimestamp make_date make_interval make_time make_timestamp make_timestamptz now
    current_date current_time current_timestamp statement_timestamp timezone to_char to_date to_number to_timestamp
    transaction_timestamp

    array_append array_cat array_dims array_length array_lower array_ndims array_position array_positions array_prepend
    array_remove array_replace array_reverse array_sort array_to_json array_to_string array_upper cardinality trim_array

    json_array_length json_build_array json_build_object json_extract_path json_extract_path_text json_object
    json_strip_nulls json_typeof row_to_json to_json
    jsonb_array_length jsonb_build_array jsonb_build_object jsonb_concat jsonb_contained jsonb_contains jsonb_delete
    jsonb_exists jsonb_exists_all jsonb_exists_any jsonb_extract_path jsonb_extract_path_text jsonb_insert jsonb_object
    jsonb_path_exists jsonb_path_match jsonb_path_query_array jsonb_path_query_first jsonb_pretty jsonb_set
    jsonb_set_lax jsonb_strip_nulls jsonb_typeof to_jsonb

    isempty lower_inc lower_inf multirange range_merge upper_inc upper_inf
    int4range int8range numrange tsrange tstzrange daterange
    int4multirange int8multirange nummultirange tsmultirange tstzmultirange datemultirange

    array_to_tsvector json_to_tsvector jsonb_to_tsvector numnode phraseto_tsquery plainto_tsquery querytree setweight
    strip to_tsquery to_tsvector
    ts_delete ts_filter ts_headline ts_rank ts_rank_cd tsquery_phrase tsvector_to_array websearch_to_tsquery

    abbrev broadcast family host hostmask inet_merge inet_same_family masklen netmask network set_masklen
    uuid_extract_timestamp uuid_extract_version
    bool float4 float8 int2 int4 int8 numeric text varchar
    num_nonnulls num_nulls claim
    float4_accum float8_accum float8_combine float8_regr_accum float8_regr_combine
"""
"""`claim` is ours; `rules/claims.py` says who may. `coalesce` to `grouping` are words of the grammar."""

_SYNTAX: Final = "extract overlaps overlay position substring trim"
"""Functions with words among their arguments."""

_AGGREGATES: Final = """
    any_value array_agg avg bit_and bit_or bit_xor bool_and bool_or corr count covar_pop covar_samp every
    json_agg json_object_agg jsonb_agg jsonb_object_agg max min mode percentile_cont percentile_disc range_agg
    range_intersect_agg regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy
    stddev stddev_pop stddev_samp string_agg sum var_pop var_samp variance
    row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value
"""

RECORD_FUNCTIONS: Final = frozenset({"json_to_record", "json_to_recordset", "jsonb_to_record", "jsonb_to_recordset"})
"""Functions in FROM whose columns the statement defines: `AS x (a int, b text)`."""

TABLE_FUNCTIONS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "generate_series": (),
        "generate_subscripts": (),
        "json_array_elements": ("value",),
        "json_array_elements_text": ("value",),
        "json_each": ("key", "value"),
        "json_each_text": ("key", "value"),
        "json_object_keys": (),
        "jsonb_array_elements": ("value",),
        "jsonb_array_elements_text": ("value",),
        "jsonb_each": ("key", "value"),
        "jsonb_each_text": ("key", "value"),
        "jsonb_object_keys": (),
        "jsonb_path_query": (),
        **dict.fromkeys(sorted(RECORD_FUNCTIONS), ()),
        "regexp_matches": (),
        "regexp_split_to_table": (),
        "string_to_table": (),
        "unnest": (),
    }
)
"""Functions that return rows, with the names of their columns; those with none are called like the source."""

SIZED_ARGUMENTS: Final[Mapping[str, int]] = MappingProxyType({"lpad": 1, "repeat": 1, "rpad": 1})

FUNCTIONS: Final[Mapping[str, Function]] = MappingProxyType(
    {name: Function(can_raise=True) for name in (*_SCALARS.split(), *_SYNTAX.split(), *TABLE_FUNCTIONS)}
    | {name: Function(can_raise=False, is_aggregate=True) for name in _AGGREGATES.split()}
)
