"""Which functions of MariaDB may a statement call? Those that read nothing but their arguments and change nothing.

Left out, and so refused: what reaches outside or tells of the server, session or catalogue (`load_file`, `user`,
`database`, `version`, `connection_id`, `last_insert_id`, `found_rows`, `row_count`, `uuid`, …), what waits or locks
(`sleep`, `benchmark`, `get_lock` and its kin, `master_pos_wait`, …), what changes something (`nextval`, `setval`), what
quotes what it is given in its errors (`extractvalue`, `updatexml`), encryption with a key, geometry, dynamic columns,
and `repeat`, `sformat` and `uncompress`, which make memory out of little.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from sandbox.sql.dialects.base import Function

_SCALARS: Final = """
    coalesce greatest least nullif ifnull if isnull nvl nvl2 row
    abs acos asin atan atan2 ceil ceiling conv cos cot crc32 crc32c degrees exp floor ln log log10 log2 oct pi pow power
    radians rand round sign sin sqrt tan truncate bin hex unhex

    ascii bit_count bit_length char char_length character_length chr concat concat_ws elt export_set field find_in_set
    format from_base64 insert instr lcase length lengthb locate lower lpad ltrim make_set mid octet_length ord quote
    regexp_instr regexp_replace regexp_substr replace reverse rpad rtrim soundex space strcmp substring_index
    to_base64 ucase upper natural_sort_key md5 sha sha1 sha2

    adddate addtime convert_tz curdate curtime date date_add date_format date_sub datediff day dayname dayofmonth
    dayofweek dayofyear from_days from_unixtime hour last_day makedate maketime microsecond minute month monthname now
    period_add period_diff quarter sec_to_time second str_to_date subdate subtime sysdate time time_format time_to_sec
    timediff timestamp to_char to_days to_seconds unix_timestamp utc_date utc_time utc_timestamp week weekday
    weekofyear year yearweek add_months

    json_array json_array_append json_array_insert json_compact json_contains json_contains_path json_depth
    json_detailed json_equals json_exists json_extract json_insert json_keys json_length json_loose json_merge
    json_merge_patch json_merge_preserve json_normalize json_object json_overlaps json_pretty json_query json_quote
    json_remove json_replace json_search json_set json_type json_unquote json_valid json_value

    inet_aton inet_ntoa inet6_aton inet6_ntoa is_ipv4 is_ipv4_compat is_ipv4_mapped is_ipv6 claim
"""
"""`claim` is ours; `rules/claims.py` says who may."""

SYNTAX: Final = "cast convert extract group_concat match position substr substring timestampadd timestampdiff trim"
"""Functions with words among their arguments."""

_AGGREGATES: Final = """
    avg bit_and bit_or bit_xor count json_arrayagg json_objectagg max min std stddev stddev_pop stddev_samp sum
    var_pop var_samp variance
    row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value
    median percentile_cont percentile_disc
"""

SIZED_ARGUMENTS: Final[Mapping[str, int]] = MappingProxyType({"lpad": 1, "rpad": 1, "space": 0})

FUNCTIONS: Final[Mapping[str, Function]] = MappingProxyType(
    {name: Function(can_raise=True) for name in _SCALARS.split()}
    | {name: Function(can_raise=False, is_aggregate=True) for name in _AGGREGATES.split()}
)
