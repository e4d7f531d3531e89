"""Which functions does each engine have that a statement may not call, and why?

Told to who called one, for no neighbour of its name would do the same. The names are those of the engines' own
catalogues, never of what a database adds to them. A pattern stands only where the engine keeps a prefix to itself, for
models make names up, and `add_days` neither waits nor locks. Nothing is permitted or refused by this: `*_functions`
say what may be called.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sandbox.sql.dialects.base import by_name
from sandbox.sql.dialects.duckdb_words import EACH, over_list

_SESSION: Final = "it is of the server or the session, not of the tool's tables"
_OUTSIDE: Final = "it reaches outside the tool's tables; a table of this tool in `FROM` is accepted"
_ACTS: Final = "it waits, locks or changes something, and statements here only read"
_RUNS: Final = "it runs a text as SQL or finds a table by a text; the query itself, in parentheses, is accepted"
_UNPROVEN: Final = "this gate does not know it to read nothing but its arguments"
_OPERATORS: Final = "it stands behind an operator or a type; the operator, or `CAST`, is accepted"
_MEMORY: Final = "it makes memory out of a number, or its cost has no bound"

DUCKDB: Final[Mapping[str, str]] = by_name(
    {
        f"it takes a lambda; {EACH} is accepted": """
            apply array_apply list_apply list_transform array_transform
        """,
        f"it takes a lambda; {over_list('list(x)', ' WHERE x > 1')} is accepted": """
            filter list_filter array_filter
        """,
        f"it takes a lambda; {over_list('sum(x)')} is accepted, or another aggregate": """
            reduce list_reduce array_reduce invoke
        """,
        "it names columns by a pattern; columns by their names are accepted": "columns",
        "it names an aggregate in a text; `list_sum(…)`, `list_avg(…)` and their kin are accepted": """
            aggregate list_aggregate array_aggregate list_aggr array_aggr
        """,
        f"{over_list('mad(x)')}, or another aggregate, is accepted": """
            list_mad list_sem list_entropy list_skewness list_kurtosis list_kurtosis_pop list_histogram
            list_approx_count_distinct
        """,
        "it takes names of fields; `row(…)` and `json_object('name', …)` are accepted": """
            struct_pack struct_insert struct_update union_value
        """,
        "it makes an order by numbers; `list_sort(…)` is accepted": "list_grade_up array_grade_up grade_up",
        "`list_append(…)` and `list_concat(…)` are accepted": "array_push_back array_push_front",
        "`list_slice(…)` is accepted": "array_pop_back array_pop_front",
        "`list_select(…)` is accepted": "array_select",
        "`json_merge_patch(…)` and `json_object(…)` are accepted": """
            json_deep_merge json_insert json_remove json_replace json_set
        """,
        "`json_extract(…)` and `CAST` are accepted": """
            from_json from_json_strict json_transform json_transform_strict
        """,
        "`typeof(…)` is accepted": "pg_typeof get_type variant_typeof vector_type format_type format_pg_type",
        "`format_bytes(…)` is accepted": "pg_size_pretty",
        "it raises an error; `nullif(…)` and `CASE` are accepted": "error assert_true",
        _OUTSIDE: """
            read_blob read_csv read_csv_auto read_duckdb read_json read_json_auto read_json_objects
            read_json_objects_auto read_ndjson read_ndjson_auto read_ndjson_objects read_parquet read_single_csv_file
            read_single_json_file read_single_parquet_file read_text parquet_bloom_probe parquet_file_metadata
            parquet_full_metadata parquet_kv_metadata parquet_metadata parquet_page_index parquet_scan parquet_schema
            glob sniff_csv arrow_scan arrow_scan_dumb pandas_scan python_arrow_scan python_map_function seq_scan
            which_secret copy_database import_database
        """,
        _RUNS: """
            query query_table json_execute_serialized_sql json_serialize_sql json_deserialize_sql json_serialize_plan
        """,
        _ACTS: """
            nextval currval setval setseed write_log sleep_ms pg_sleep checkpoint force_checkpoint truncate_duckdb_logs
            enable_checkpoint_on_shutdown enable_logging enable_object_cache enable_optimizer enable_print_progress_bar
            enable_profile enable_profiling enable_progress_bar enable_verification disable_checkpoint_on_shutdown
            disable_logging disable_object_cache disable_optimizer disable_print_progress_bar disable_profile
            disable_profiling disable_progress_bar disable_verification disable_verify_parallelism verify_parallelism
            add_grammar_extension remove_grammar_extension add_parquet_key register_external_resource
            register_external_resource_type deregister_external_resource create_external_resource
            destroy_external_resource
        """,
        _SESSION: """
            duckdb_* pragma_* pg_* has_*_privilege current_catalog current_connection_id current_database current_query
            current_query_id current_role current_schema current_schemas current_setting current_transaction_id
            current_user inet_client_addr inet_client_port inet_server_addr inet_server_port getvariable version user
            user_agent session_user platform in_search_path txid_current extension_versions database_list database_size
            show show_databases show_tables show_tables_expanded table_info storage_info metadata_info col_description
            obj_description shobj_description functions collations stats summary get_block_size icu_calendar_names
        """,
        _UNPROVEN: "bit_position make_type create_sort_key",
    }
)

SQLITE: Final[Mapping[str, str]] = by_name(
    {
        _OUTSIDE: "load_extension readfile writefile edit fts3_tokenizer",
        _SESSION: "sqlite_* changes total_changes last_insert_rowid",
        _MEMORY: "randomblob zeroblob",
        "it steers the planner alone; the condition by itself is accepted": "likely unlikely likelihood",
        "the time it takes has no bound; `json_set(…)` and `json_remove(…)` are accepted": "json_patch jsonb_patch",
        "the time it takes has no bound; `avg(…)`, `min(…)` and `max(…)` are accepted": """
            median percentile percentile_cont percentile_disc
        """,
        "it is of full-text and R-tree tables; `LIKE` and `instr(…)` are accepted": """
            bm25 highlight snippet match matchinfo offsets optimize fts5* rtree* geopoly_*
        """,
        _UNPROVEN: "subtype",
    }
)

POSTGRES: Final[Mapping[str, str]] = by_name(
    {
        _ACTS: """
            pg_sleep pg_sleep_for pg_sleep_until pg_advisory_* pg_try_advisory_* pg_cancel_backend pg_terminate_backend
            set_config setseed nextval currval lastval setval lo_* pg_notify
        """,
        _OUTSIDE: "pg_read_file pg_read_binary_file pg_ls_* pg_stat_file dblink* pg_logdir_ls pg_current_logfile",
        _RUNS: "query_to_xml* table_to_xml* schema_to_xml* database_to_xml* cursor_to_xml* ts_stat ts_rewrite",
        _UNPROVEN: "pg_size_pretty pg_size_bytes pg_column_size pg_typeof pg_collation_for pg_input_is_valid",
        _SESSION: """
            version current_setting current_user session_user current_role current_database current_schema
            current_schemas current_query user inet_client_addr inet_client_port inet_server_addr inet_server_port
            has_*_privilege row_security_active txid_* to_regclass to_regcollation to_regnamespace to_regoper
            to_regoperator to_regproc to_regprocedure to_regrole to_regtype to_regtypemod pg_*
        """,
        "it takes a row type; `json_to_record(…) AS x (a int, b text)` is accepted": """
            json_populate_record jsonb_populate_record json_populate_recordset jsonb_populate_recordset
        """,
        "it makes memory out of a number; `array_agg(…)` is accepted": "array_fill",
        "its value is another with each call; `now()` is accepted": "clock_timestamp timeofday",
        "its value is another with each call; `random()` is accepted": "gen_random_uuid uuidv4 uuidv7 random_normal",
        "XML is not accepted; `to_json(…)` and `json_agg(…)` are": "xml* xpath* xslt*",
        _OPERATORS: """
            array_ge array_gt array_lt array_out bit_send bitand bitor bitxor boolsend char date_in date_mii dcbrt
            dexp dlog10 dpow dround dsqrt dtrunc enum_range float4eq float4ge float4gt float4in float4le float4lt
            float4mi float4ne float4pl float4um float4up float8eq float8ge float8gt float8in float8le float8lt
            float8mi float8ne float8pl float8um float8up in_range int24div int24mi int24mul int24pl int28div int28mi
            int28mul int28pl int42div int42mi int42mul int42pl int48div int48mi int48mul int48pl int82div int82mi
            int82mul int82pl int84div int84mi int84mul int84pl json_array_element json_array_element_text
            jsonb_array_element jsonb_array_element_text jsonb_eq jsonb_ge jsonb_gt jsonb_hash jsonb_le jsonb_lt
            jsonb_ne jsonb_out jsonb_send path_add range_ge range_gt timetz_ne varcharin
        """,
    }
)

MYSQL: Final[Mapping[str, str]] = by_name(
    {
        _SESSION: """
            user current_user current_role session_user system_user database schema version connection_id last_insert_id
            found_rows row_count uuid uuid_short sys_guid coercibility collation schemas wsrep_*
        """,
        _ACTS: """
            sleep benchmark get_lock release_lock release_all_locks is_free_lock is_used_lock master_pos_wait
            master_gtid_wait nextval lastval setval
        """,
        _OUTSIDE: "load_file",
        "it quotes what it is given in its errors; `json_extract(…)` is accepted": "extractvalue updatexml",
        "it needs a key; `md5(…)` and `sha2(…)` are accepted": """
            aes_encrypt aes_decrypt des_encrypt des_decrypt encode decode encrypt old_password password
        """,
        "`lpad(…)` to a length written out is accepted": "repeat",
        "`format(…)` and `concat(…)` are accepted": "sformat",
        "columns of the table and `json_extract(…)` are accepted": """
            column_add column_check column_create column_delete column_exists column_get column_json column_list
        """,
        _MEMORY: "uncompress compress uncompressed_length random_bytes",
    }
)
