"""Which functions of DuckDB may a statement call? Those of its own catalogue that read nothing but their arguments.

Left out, and so refused: what reads files or the process (`read_*`, `parquet_*`, `glob`, `sniff_csv`, …), what tells of
the catalogue, settings or session (`duckdb_*`, `pragma_*`, `current_setting`, `getvariable`, `version`, …), what runs
SQL or names tables in a text (`query`, `query_table`, `json_execute_serialized_sql`, …), what names a function in one
(`list_aggregate` by its four names), what changes or waits (`nextval`, `setseed`, `write_log`, `sleep_ms`, …), `error`,
and functions of functions (lambdas). Lists and texts of any length are accepted: a statement has a process of its own,
with a limit of memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from sandbox.sql.dialects.base import Function, words

_SCALARS: Final = """
    coalesce nullif if greatest least
    abs acos acosh asin asinh atan atan2 atanh bit_count cbrt ceil ceiling cos cosh cot degrees even exp factorial fdiv
    floor fmod gamma gcd greatest_common_divisor isfinite isinf isnan lcm least_common_multiple lgamma ln log log10 log2
    mod nextafter pi pow power radians random round round_even roundbankers sign signbit sin sinh sqrt tan tanh trunc
    xor

    array_to_string ascii bar base64 bin bit_length char_length character_length chr concat concat_ws contains
    damerau_levenshtein decode editdist3 encode ends_with format format_bytes formatReadableDecimalSize
    formatReadableSize from_base64 from_binary from_hex hamming hash hex ilike_escape instr jaccard jaro_similarity
    jaro_winkler_similarity lcase left left_grapheme length length_grapheme levenshtein like_escape lower lpad ltrim md5
    md5_number mismatches nfc_normalize not_ilike_escape not_like_escape octet_length ord parse_dirname parse_dirpath
    parse_filename parse_path prefix printf regexp_escape regexp_extract regexp_extract_all regexp_full_match
    regexp_matches regexp_replace regexp_split_to_array repeat replace reverse right right_grapheme rpad rtrim sha1
    sha256 split split_part starts_with str_split str_split_regex string_split string_split_regex string_to_array
    strip_accents strlen strpos substr substring_grapheme suffix to_base to_base64 to_binary to_hex translate typeof
    ucase unbin unhex unicode upper url_decode url_encode uuid gen_random_uuid uuidv4 uuidv7 uuid_extract_timestamp
    uuid_extract_version

    age ago century date_add date_diff date_part date_sub date_trunc datediff datepart datesub datetrunc day dayname
    dayofmonth dayofweek dayofyear days_in_month decade epoch epoch_ms epoch_ns epoch_us era hour isodow isoyear julian
    last_day make_date make_time make_timestamp make_timestamp_ms make_timestamp_ns make_timestamptz microsecond
    millennium millisecond minute month monthname nanosecond normalized_interval now quarter second strftime strptime
    time_bucket timezone timezone_hour timezone_minute to_centuries to_days to_decades to_hours to_microseconds
    to_millennia to_milliseconds to_minutes to_months to_quarters to_seconds to_timestamp to_weeks to_years today
    transaction_timestamp try_strptime week weekday weekofyear year yearweek current_localtime current_localtimestamp
    get_current_time get_current_timestamp

    array_append array_cat array_concat array_contains array_cosine_distance
    array_cosine_similarity array_cross_product array_distance array_distinct array_dot_product array_extract
    array_has array_has_all array_has_any array_indexof array_inner_product array_intersect array_length array_position
    array_prepend array_resize array_reverse array_reverse_sort array_slice array_sort array_unique array_value
    array_where array_zip cardinality element_at flatten len list_any_value list_append
    list_avg list_bit_and list_bit_or list_bit_xor list_bool_and list_bool_or list_cat list_concat list_contains
    list_cosine_distance list_cosine_similarity list_count list_distance list_distinct list_dot_product list_element
    list_extract list_first list_has list_has_all list_has_any list_indexof list_inner_product list_intersect list_last
    list_max list_median list_min list_mode list_pack list_position list_prepend list_product list_resize list_reverse
    list_reverse_sort list_select list_slice list_sort list_stddev_pop list_stddev_samp list_string_agg list_sum
    list_unique list_value list_var_pop list_var_samp list_where list_zip
    map map_contains map_entries map_extract map_extract_value map_from_entries map_keys map_values
    struct_extract struct_keys struct_values row

    json json_array json_array_length json_contains json_exists json_extract json_extract_path json_extract_path_text
    json_extract_string json_keys json_merge_patch json_object json_pretty json_quote json_structure json_type
    json_valid json_value row_to_json to_json array_to_json

    claim
"""
"""`claim` is ours; `rules/claims.py` says who may. `coalesce` and `nullif` are words of the grammar."""

_SYNTAX: Final = "extract overlay position substring trim current_date current_time current_timestamp localtimestamp"
"""Functions with words among their arguments, or without parentheses."""

_AGGREGATES: Final = """
    any_value approx_count_distinct approx_quantile approx_top_k arbitrary arg_max arg_max_null arg_min arg_min_null
    argmax argmin array_agg avg bit_and bit_or bit_xor bool_and bool_or corr count count_if countif count_star covar_pop
    covar_samp entropy favg first fsum geomean geometric_mean group_concat histogram json_group_array json_group_object
    kahan_sum kurtosis kurtosis_pop last list listagg mad max max_by mean median min min_by mode product quantile
    quantile_cont quantile_disc regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy
    regr_syy reservoir_quantile sem skewness stddev stddev_pop stddev_samp string_agg sum sum_no_overflow sumkahan
    var_pop var_samp variance wavg weighted_avg percentile_cont percentile_disc
    row_number rank dense_rank rank_dense percent_rank cume_dist ntile lag lead first_value last_value nth_value fill
"""

_JSON_COLUMNS: Final = ("key", "value", "type", "atom", "id", "parent", "fullkey", "path")
TABLE_FUNCTIONS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"generate_series": (), "range": (), "unnest": (), "json_each": _JSON_COLUMNS, "json_tree": _JSON_COLUMNS}
)
"""Functions that return rows, with the names of their columns; those with none are called like the source."""

FUNCTIONS: Final[Mapping[str, Function]] = MappingProxyType(
    {name.lower(): Function(can_raise=True) for name in (*_SCALARS.split(), *_SYNTAX.split(), *TABLE_FUNCTIONS)}
    | {name: Function(can_raise=False, is_aggregate=True) for name in _AGGREGATES.split()}
)

BEHIND_GRAMMAR: Final = words(
    """
    ~~ !~~ ~~* !~~* ~~~ ~ + - * / // % ^ ** & | << >> || -> ->> ^@ @> <@ && not_like_escape like_escape ilike_escape
    not_ilike_escape regexp_full_match list_value row array_extract list_extract struct_extract
    date_part to_years to_months to_weeks to_days to_hours to_minutes to_seconds to_milliseconds to_microseconds
    to_quarters to_decades to_centuries to_millennia trunc trim ltrim rtrim substring overlay position strpos instr
    get_current_timestamp get_current_time current_date today current_localtime current_localtimestamp timezone
    contains
    count_star count quantile_cont quantile_disc regexp_matches unnest array_agg if coalesce nullif constant_or_null
    """
)
"""What DuckDB's grammar calls for operators, EXTRACT, INTERVAL, SUBSTRING and the like, as its own tree has it."""
