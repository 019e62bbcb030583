//! Spark's scalar functions, generators and aggregates, with Spark's types, names, answers and errors.
//!
//! `FUNCTIONS` is the catalogue: name, parameters, result, kernel. Every name is a function of its own, so that a column
//! that was made by `ucase(s)` is called so. What is not in the catalogue is unknown, DataFusion's own functions included:
//! several of them have Spark's names and other answers.
//!
//! # Adding a function
//! A kernel `fn(&Call) -> Result<ArrayRef>` in a file here, and a line in the catalogue.
//!
//! # Read next
//! `function.rs` (what a function is) → `rows.rs` (reading and writing arrays) → `text/cut.rs` (some functions).

mod aggregates;
mod arrays;
mod cast;
mod conditional;
mod csv;
mod datetime;
mod error;
mod function;
mod generators;
mod hash;
mod json;
mod maps;
mod math;
mod misc;
mod order;
#[cfg(test)]
pub(crate) mod recorded;
mod regex;
mod rows;
mod structs;
#[cfg(test)]
mod tests;
mod text;
mod types;
mod zone;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::ScalarUDF;

use arrays::{build as array_build, cut as array_cut, element, order as array_order, sequence, sets};
use datetime::{arithmetic, clock, epoch, fields, make, pattern, truncate, window_time};
use function::Function as F;
use math::{bits, modulo, real, round, tried};
use text::{case, cut, encode, format, join, measure, pad, search};
use types::{
    any, array, array_or_map, binary, boolean, date, double, float_or_double, gives_binary, gives_boolean, gives_byte,
    gives_date, gives_double, gives_float, gives_int, gives_long, gives_ntz, gives_null, gives_text, gives_texts,
    gives_timestamp, instant, instant_or_ntz, int, int_or_long, integer, integer_as_long, long, map, number,
    number_or_interval, number_or_text, only_text, same, second, string_or_array, text as string, text_or_binary,
};

pub(crate) use aggregates::taken;
pub use aggregates::{
    aggregate, aggregate_function, aggregate_functions, approx_count_distinct, avg, collect_list, collect_set, count,
    count_all, count_distinct, distinct, first, ignore_nulls, last, max, max_by, min, min_by, percentile, sum,
};
pub use generators::{generator_columns, is_generator, project_generator, rewrite_generators};
pub use structs::named_struct_args;

/// The name of the cast that arguments of conditional functions get; nobody can write it.
const IMPLICIT_CAST: &str = "$cast";

/// Every function: its name, what it takes, what it gives, how.
static FUNCTIONS: &[F] = &[
    // One of the arguments
    F::new("coalesce", &[any], conditional::widest, conditional::coalesce)
        .repeats()
        .coerced(types::all_alike)
        .rewritten(conditional::lazy_coalesce),
    F::new("nvl", &[any, any], conditional::widest, conditional::coalesce)
        .coerced(types::all_alike)
        .rewritten(conditional::lazy_coalesce),
    F::new("ifnull", &[any, any], conditional::widest, conditional::coalesce)
        .coerced(types::all_alike)
        .rewritten(conditional::lazy_coalesce),
    F::new("nvl2", &[any, any, any], conditional::widest, conditional::nvl2)
        .coerced(conditional::condition_and_alike)
        .rewritten(conditional::lazy_nvl2),
    F::new("if", &[boolean, any, any], conditional::widest, conditional::if_else)
        .coerced(conditional::condition_and_alike)
        .rewritten(conditional::lazy_if),
    F::new("nullif", &[any, any], same, conditional::nullif).coerced(conditional::comparable),
    F::new("equal_null", &[any, any], gives_boolean, conditional::equal_null).coerced(conditional::comparable),
    F::new("greatest", &[any, any, any], conditional::widest, conditional::greatest)
        .optional(1)
        .repeats()
        .coerced(types::all_alike_without_text),
    F::new("least", &[any, any, any], conditional::widest, conditional::least)
        .optional(1)
        .repeats()
        .coerced(types::all_alike_without_text),
    F::new("isnull", &[any], gives_boolean, conditional::isnull),
    F::new("isnotnull", &[any], gives_boolean, conditional::isnotnull),
    F::new("zeroifnull", &[conditional::number_or_int], same, conditional::zeroifnull),
    F::new("nullifzero", &[conditional::number_or_int], same, conditional::nullifzero),
    F::new("assert_true", &[boolean, string], gives_null, conditional::assert_true).optional(1),
    F::new("raise_error", &[string], gives_null, conditional::raise_error).volatile(),
    F::new(IMPLICIT_CAST, &[any, any], second, conditional::cast_like),
    // Strings from strings
    F::new("upper", &[string], gives_text, case::upper),
    F::new("ucase", &[string], gives_text, case::upper),
    F::new("lower", &[string], gives_text, case::lower),
    F::new("lcase", &[string], gives_text, case::lower),
    F::new("initcap", &[string], gives_text, case::initcap),
    F::new("reverse", &[string_or_array], same, case::reverse),
    F::new("repeat", &[string, int], gives_text, case::repeat),
    F::new("space", &[int], gives_text, case::space),
    F::new("translate", &[string, string, string], gives_text, case::translate),
    F::new("replace", &[string, string, string], gives_text, case::replace).optional(1),
    F::new("overlay", &[text_or_binary, text_or_binary, int, int], same, case::overlay).optional(1),
    F::new("mask", &[string, string, string, string, string], gives_text, case::mask).optional(4),
    F::new("quote", &[string], gives_text, case::quote),
    F::new("soundex", &[only_text], gives_text, misc::soundex),
    F::new("elt", &[int, string], gives_text, misc::elt).repeats(),
    F::new("format_string", &[string, any], gives_text, format::format_string).optional(1).repeats(),
    F::new("printf", &[string, any], gives_text, format::format_string).optional(1).repeats(),
    F::new("format_number", &[pad::only_number, int], gives_text, pad::format_number),
    F::new("lpad", &[text_or_binary, int, text_or_binary], same, pad::lpad).optional(1),
    F::new("rpad", &[text_or_binary, int, text_or_binary], same, pad::rpad).optional(1),
    F::new("substring", &[text_or_binary, int, int], same, cut::substring).optional(1),
    F::new("substr", &[text_or_binary, int, int], same, cut::substring).optional(1),
    F::new("left", &[text_or_binary, int], same, cut::left),
    F::new("right", &[string, int], gives_text, cut::right),
    F::new("trim", &[string, string], gives_text, cut::btrim).optional(1),
    F::new("ltrim", &[string, string], gives_text, cut::ltrim).optional(1),
    F::new("rtrim", &[string, string], gives_text, cut::rtrim).optional(1),
    F::new("btrim", &[string, string], gives_text, cut::btrim).optional(1),
    F::new("split_part", &[string, string, int], gives_text, cut::split_part),
    F::new("substring_index", &[string, string, int], gives_text, cut::substring_index),
    F::new("concat", &[any], join::concat_type, join::concat).optional(1).repeats().coerced(join::concat_types),
    F::new("concat_ws", &[string, join::text_or_texts], gives_text, join::concat_ws).optional(1).repeats(),
    // About strings
    F::new("length", &[text_or_binary], gives_int, measure::length),
    F::new("len", &[text_or_binary], gives_int, measure::length),
    F::new("char_length", &[text_or_binary], gives_int, measure::length),
    F::new("character_length", &[text_or_binary], gives_int, measure::length),
    F::new("octet_length", &[text_or_binary], gives_int, measure::octet_length),
    F::new("bit_length", &[text_or_binary], gives_int, measure::bit_length),
    F::new("ascii", &[string], gives_int, measure::ascii),
    F::new("char", &[long], gives_text, measure::chr),
    F::new("chr", &[long], gives_text, measure::chr),
    F::new("levenshtein", &[string, string, int], gives_int, measure::levenshtein).optional(1),
    F::new("instr", &[string, string], gives_int, search::instr),
    F::new("locate", &[string, string, int], gives_int, search::locate).optional(1),
    F::new("position", &[string, string, int], gives_int, search::locate).optional(1),
    F::new("contains", &[text_or_binary, text_or_binary], gives_boolean, search::contains).coerced(join::concat_types),
    F::new("startswith", &[text_or_binary, text_or_binary], gives_boolean, search::startswith)
        .coerced(join::concat_types),
    F::new("endswith", &[text_or_binary, text_or_binary], gives_boolean, search::endswith).coerced(join::concat_types),
    F::new("find_in_set", &[string, string], gives_int, search::find_in_set),
    F::new("luhn_check", &[string], gives_boolean, misc::luhn_check),
    F::new("is_valid_utf8", &[text_or_binary], gives_boolean, misc::is_valid_utf8),
    F::new("make_valid_utf8", &[text_or_binary], gives_text, misc::make_valid_utf8),
    F::new("validate_utf8", &[text_or_binary], gives_text, misc::validate_utf8),
    F::new("try_validate_utf8", &[text_or_binary], gives_text, misc::try_validate_utf8),
    // Patterns
    F::new("rlike", &[string, string], gives_boolean, regex::rlike),
    F::new("regexp", &[string, string], gives_boolean, regex::rlike),
    F::new("regexp_like", &[string, string], gives_boolean, regex::rlike),
    F::new("regexp_count", &[string, string], gives_int, regex::regexp_count),
    F::new("regexp_instr", &[string, string, int], gives_int, regex::regexp_instr).optional(1),
    F::new("regexp_substr", &[string, string], gives_text, regex::regexp_substr),
    F::new("regexp_extract", &[string, string, int], gives_text, regex::regexp_extract).optional(1),
    F::new("regexp_extract_all", &[string, string, int], gives_texts, regex::regexp_extract_all).optional(1),
    F::new("regexp_replace", &[string, string, string, int], gives_text, regex::regexp_replace).optional(1),
    F::new("split", &[string, string, int], gives_texts, regex::split).optional(1),
    F::new("like", &[string, string, string], gives_boolean, regex::like).optional(1),
    F::new("ilike", &[string, string, string], gives_boolean, regex::ilike).optional(1),
    // Bytes and hashes
    F::new("base64", &[binary], gives_text, encode::base64),
    F::new("unbase64", &[string], gives_binary, encode::unbase64),
    F::new("hex", &[encode::hex_arg], gives_text, encode::hex),
    F::new("unhex", &[string], gives_binary, encode::unhex),
    F::new("encode", &[string, string], gives_binary, encode::encode),
    F::new("decode", &[any, any, any], encode::decode_type, encode::decode)
        .optional(1)
        .repeats()
        .coerced(encode::decode_args),
    F::new("to_binary", &[string, string], gives_binary, encode::to_binary).optional(1),
    F::new("try_to_binary", &[string, string], gives_binary, encode::try_to_binary).optional(1),
    F::new("md5", &[binary], gives_text, hash::md5),
    F::new("sha", &[binary], gives_text, hash::sha1),
    F::new("sha1", &[binary], gives_text, hash::sha1),
    F::new("sha2", &[binary, int], gives_text, hash::sha2),
    F::new("crc32", &[binary], gives_long, hash::crc32),
    F::new("hash", &[any], hash::hash_type, hash::hash).repeats(),
    F::new("xxhash64", &[any], hash::xxhash64_type, hash::xxhash64).repeats(),
    F::new("url_encode", &[string], gives_text, misc::url_encode),
    F::new("url_decode", &[string], gives_text, misc::url_decode),
    F::new("try_url_decode", &[string], gives_text, misc::try_url_decode),
    F::new("parse_url", &[string, string, string], gives_text, misc::parse_url).optional(1),
    F::new("try_parse_url", &[string, string, string], gives_text, misc::try_parse_url).optional(1),
    // Numbers
    F::new("abs", &[number_or_interval], same, real::abs),
    F::new("negative", &[number_or_interval], same, real::negative),
    F::new("positive", &[number_or_interval], same, real::positive),
    F::new("sign", &[double], gives_double, real::sign),
    F::new("signum", &[double], gives_double, real::sign),
    F::new("round", &[number, int], round::rounded_type, round::round).optional(1),
    F::new("bround", &[number, int], round::rounded_type, round::bround).optional(1),
    F::new("ceil", &[number, int], round::whole_type, round::ceil).optional(1).coerced(round::whole_args),
    F::new("ceiling", &[number, int], round::whole_type, round::ceil).optional(1).coerced(round::whole_args),
    F::new("floor", &[number, int], round::whole_type, round::floor).optional(1).coerced(round::whole_args),
    F::new("mod", &[number_or_text, number_or_text], modulo::result, modulo::modulo).coerced(modulo::operands),
    F::new("try_mod", &[any, any], tried::modulo_type, tried::modulo).coerced(tried::operands),
    F::new("pmod", &[number_or_text, number_or_text], modulo::result, modulo::pmod).coerced(modulo::operands),
    F::new("try_add", &[any, any], tried::add_type, tried::add).coerced(tried::operands),
    F::new("try_subtract", &[any, any], tried::subtract_type, tried::subtract).coerced(tried::operands),
    F::new("try_multiply", &[any, any], tried::multiply_type, tried::multiply).coerced(tried::operands),
    F::new("try_divide", &[any, any], tried::divide_type, tried::divide).coerced(tried::operands),
    F::new("sqrt", &[double], gives_double, real::sqrt),
    F::new("cbrt", &[double], gives_double, real::cbrt),
    F::new("exp", &[double], gives_double, real::exp),
    F::new("expm1", &[double], gives_double, real::expm1),
    F::new("ln", &[double], gives_double, real::ln),
    F::new("log", &[double, double], gives_double, real::log).optional(1),
    F::new("log2", &[double], gives_double, real::log2),
    F::new("log10", &[double], gives_double, real::log10),
    F::new("log1p", &[double], gives_double, real::log1p),
    F::new("power", &[double, double], gives_double, real::power),
    F::new("pow", &[double, double], gives_double, real::power),
    F::new("hypot", &[double, double], gives_double, real::hypot),
    F::new("rint", &[double], gives_double, real::rint),
    F::new("sin", &[double], gives_double, real::sin),
    F::new("cos", &[double], gives_double, real::cos),
    F::new("tan", &[double], gives_double, real::tan),
    F::new("cot", &[double], gives_double, real::cot),
    F::new("sec", &[double], gives_double, real::sec),
    F::new("csc", &[double], gives_double, real::csc),
    F::new("asin", &[double], gives_double, real::asin),
    F::new("acos", &[double], gives_double, real::acos),
    F::new("atan", &[double], gives_double, real::atan),
    F::new("atan2", &[double, double], gives_double, real::atan2),
    F::new("sinh", &[double], gives_double, real::sinh),
    F::new("cosh", &[double], gives_double, real::cosh),
    F::new("tanh", &[double], gives_double, real::tanh),
    F::new("asinh", &[double], gives_double, real::asinh),
    F::new("acosh", &[double], gives_double, real::acosh),
    F::new("atanh", &[double], gives_double, real::atanh),
    F::new("degrees", &[double], gives_double, real::degrees),
    F::new("radians", &[double], gives_double, real::radians),
    F::new("pi", &[], gives_double, real::pi),
    F::new("e", &[], gives_double, real::e),
    F::new("factorial", &[int], gives_long, real::factorial),
    F::new("isnan", &[float_or_double], gives_boolean, real::isnan),
    F::new("nanvl", &[float_or_double, float_or_double], same, real::nanvl).coerced(types::all_alike),
    F::new("bit_count", &[bits::bits], gives_int, bits::bit_count),
    F::new("bit_get", &[integer, int], gives_byte, bits::bit_get),
    F::new("getbit", &[integer, int], gives_byte, bits::bit_get),
    F::new("shiftleft", &[int_or_long, int], same, bits::shiftleft),
    F::new("shiftright", &[int_or_long, int], same, bits::shiftright),
    F::new("shiftrightunsigned", &[int_or_long, int], same, bits::shiftrightunsigned),
    F::new("bin", &[long], gives_text, bits::bin),
    F::new("conv", &[string, int, int], gives_text, bits::conv),
    F::new("width_bucket", &[double, double, double, long], gives_long, bits::width_bucket),
    F::new("bitmap_bit_position", &[long], gives_long, misc::bitmap_bit_position),
    F::new("bitmap_bucket_number", &[long], gives_long, misc::bitmap_bucket_number),
    F::new("bitmap_count", &[binary], gives_long, misc::bitmap_count),
    F::new("rand", &[any], gives_double, misc::rand).optional(1).volatile(),
    F::new("random", &[any], gives_double, misc::rand).optional(1).volatile(),
    F::new("randn", &[any], gives_double, misc::randn).optional(1).volatile(),
    F::new("uuid", &[], gives_text, misc::uuid).volatile(),
    // Dates and timestamps
    F::new("current_timestamp", &[], gives_timestamp, clock::current_timestamp)
        .stable()
        .rewritten(clock::fix_timestamp),
    F::new("now", &[], gives_timestamp, clock::current_timestamp).stable().rewritten(clock::fix_timestamp),
    F::new("localtimestamp", &[], gives_ntz, clock::localtimestamp).stable().rewritten(clock::fix_localtimestamp),
    F::new("current_date", &[], clock::date_type, clock::current_date).stable().rewritten(clock::fix_date),
    F::new("curdate", &[], clock::date_type, clock::current_date).stable().rewritten(clock::fix_date),
    F::new("current_timezone", &[], gives_text, misc::current_timezone).stable(),
    F::new("year", &[date], gives_int, fields::year),
    F::new("quarter", &[date], gives_int, fields::quarter),
    F::new("month", &[date], gives_int, fields::month),
    F::new("day", &[date], gives_int, fields::day),
    F::new("dayofmonth", &[date], gives_int, fields::day),
    F::new("dayofyear", &[date], gives_int, fields::dayofyear),
    F::new("dayofweek", &[date], gives_int, fields::dayofweek),
    F::new("weekday", &[date], gives_int, fields::weekday),
    F::new("weekofyear", &[date], gives_int, fields::weekofyear),
    F::new("monthname", &[date], gives_text, fields::monthname),
    F::new("dayname", &[date], gives_text, fields::dayname),
    F::new("hour", &[instant_or_ntz], gives_int, fields::hour),
    F::new("minute", &[instant_or_ntz], gives_int, fields::minute),
    F::new("second", &[instant_or_ntz], gives_int, fields::second),
    F::new("date_part", &[string, fields::time_or_interval], fields::part_type, fields::date_part),
    F::new("datepart", &[string, fields::time_or_interval], fields::part_type, fields::date_part),
    F::new("extract", &[string, fields::time_or_interval], fields::part_type, fields::date_part),
    F::new("last_day", &[date], gives_date, fields::last_day),
    F::new("next_day", &[date, string], gives_date, fields::next_day),
    F::new("date_trunc", &[string, instant], gives_timestamp, truncate::date_trunc),
    F::new("trunc", &[date, string], gives_date, truncate::trunc),
    F::new("date_add", &[any, any, any], arithmetic::dateadd_type, arithmetic::dateadd)
        .optional(1)
        .coerced(arithmetic::dateadd_args),
    F::new("date_sub", &[date, arithmetic::days_by], gives_date, arithmetic::date_sub),
    F::new("dateadd", &[any, any, any], arithmetic::dateadd_type, arithmetic::dateadd)
        .optional(1)
        .coerced(arithmetic::dateadd_args),
    F::new("timestampadd", &[any, any, any], arithmetic::dateadd_type, arithmetic::timestampadd)
        .coerced(arithmetic::dateadd_args),
    F::new("datediff", &[any, any, any], arithmetic::datediff_type, arithmetic::datediff)
        .optional(1)
        .coerced(arithmetic::datediff_args),
    F::new("date_diff", &[any, any, any], arithmetic::datediff_type, arithmetic::datediff)
        .optional(1)
        .coerced(arithmetic::datediff_args),
    F::new("timestampdiff", &[any, any, any], arithmetic::datediff_type, arithmetic::timestampdiff)
        .coerced(arithmetic::datediff_args),
    F::new("timediff", &[any, any, any], arithmetic::datediff_type, arithmetic::timestampdiff)
        .coerced(arithmetic::datediff_args),
    F::new("add_months", &[date, int], gives_date, arithmetic::add_months),
    F::new("months_between", &[instant, instant, boolean], gives_double, arithmetic::months_between).optional(1),
    F::new("from_utc_timestamp", &[instant, string], gives_timestamp, arithmetic::from_utc_timestamp),
    F::new("to_utc_timestamp", &[instant, string], gives_timestamp, arithmetic::to_utc_timestamp),
    F::new("make_date", &[int, int, int], gives_date, make::make_date),
    F::new("make_timestamp", &[int, int, int, int, int, make::seconds, string], gives_timestamp, make::make_timestamp)
        .optional(1),
    F::new(
        "make_timestamp_ltz",
        &[int, int, int, int, int, make::seconds, string],
        gives_timestamp,
        make::make_timestamp,
    )
    .optional(1),
    F::new("make_timestamp_ntz", &[int, int, int, int, int, make::seconds], gives_ntz, make::make_timestamp),
    F::new(
        "try_make_timestamp",
        &[int, int, int, int, int, make::seconds, string],
        gives_timestamp,
        make::try_make_timestamp,
    )
    .optional(1),
    F::new(
        "try_make_timestamp_ltz",
        &[int, int, int, int, int, make::seconds, string],
        gives_timestamp,
        make::try_make_timestamp,
    )
    .optional(1),
    F::new("try_make_timestamp_ntz", &[int, int, int, int, int, make::seconds], gives_ntz, make::try_make_timestamp),
    F::new("to_csv", &[any, json::options_map], gives_text, csv::to_csv).optional(1).coerced(csv::to_csv_args),
    F::new("make_dt_interval", &[int, int, int, make::seconds18], make::dt_interval_type, make::make_dt_interval)
        .optional(4),
    F::new("make_ym_interval", &[int, int], make::ym_interval_type, make::make_ym_interval).optional(2),
    F::new("date_from_unix_date", &[int], gives_date, epoch::date_from_unix_date),
    F::new("unix_date", &[epoch::only_date], gives_int, epoch::unix_date),
    F::new("unix_seconds", &[epoch::only_instant], gives_long, epoch::unix_seconds),
    F::new("unix_millis", &[epoch::only_instant], gives_long, epoch::unix_millis),
    F::new("unix_micros", &[epoch::only_instant], gives_long, epoch::unix_micros),
    F::new("window_time", &[any], window_time::window_time_type, window_time::window_time),
    F::new("timestamp_seconds", &[epoch::seconds_arg], gives_timestamp, epoch::timestamp_seconds),
    F::new("timestamp_millis", &[integer_as_long], gives_timestamp, epoch::timestamp_millis),
    F::new("timestamp_micros", &[integer_as_long], gives_timestamp, epoch::timestamp_micros),
    F::new("unix_timestamp", &[pattern::parsed, string], gives_long, pattern::unix_timestamp)
        .optional(2)
        .stable()
        .rewritten(clock::fix_seconds),
    F::new("to_unix_timestamp", &[pattern::parsed, string], gives_long, pattern::unix_timestamp).optional(1),
    F::new("from_unixtime", &[long, string], gives_text, pattern::from_unixtime).optional(1),
    F::new("date_format", &[instant, string], gives_text, pattern::date_format),
    F::new("to_timestamp", &[pattern::parsed_or_number, string], gives_timestamp, pattern::to_timestamp).optional(1),
    F::new("to_timestamp_ltz", &[pattern::parsed_or_number, string], gives_timestamp, pattern::to_timestamp)
        .optional(1),
    F::new("to_timestamp_ntz", &[pattern::parsed_or_printed, string], gives_ntz, pattern::to_timestamp).optional(1),
    F::new("try_to_timestamp", &[pattern::parsed_or_number, string], gives_timestamp, pattern::try_to_timestamp)
        .optional(1),
    F::new("to_date", &[pattern::parsed_or_printed, string], gives_date, pattern::to_date).optional(1),
    F::new("try_to_date", &[pattern::parsed_or_printed, string], gives_date, pattern::try_to_date).optional(1),
    F::new("convert_timezone", &[any, any, any], gives_ntz, arithmetic::convert_timezone)
        .optional(1)
        .coerced(arithmetic::zones_and_time),
    // Arrays
    F::new("array", &[any], array_build::array_type, array_build::array)
        .optional(1)
        .repeats()
        .coerced(types::all_alike),
    F::new("array_repeat", &[any, int], array_build::array_type, array_build::array_repeat),
    F::new("flatten", &[array], array_build::inner_type, array_build::flatten),
    F::new("array_append", &[array, any], same, array_build::array_append).coerced(array_build::array_and_element),
    F::new("array_prepend", &[array, any], same, array_build::array_prepend).coerced(array_build::array_and_element),
    F::new("array_insert", &[array, int, any], same, array_build::array_insert).coerced(array_build::array_and_element),
    F::new("arrays_zip", &[array], array_build::zip_type, array_build::arrays_zip).repeats(),
    F::new("sequence", &[any, any, any], sequence::sequence_type, sequence::sequence)
        .optional(1)
        .coerced(sequence::sequence_args),
    F::new("slice", &[array, int, int], same, array_cut::slice),
    F::new("array_compact", &[array], same, array_cut::array_compact),
    F::new("array_remove", &[array, any], same, array_cut::array_remove).coerced(array_build::array_and_element),
    F::new("array_join", &[join::text_or_texts, string, string], gives_text, array_cut::array_join).optional(1),
    F::new("sort_array", &[array, boolean], same, array_order::sort_array).optional(1),
    F::new("array_sort", &[array], same, array_order::array_sort),
    F::new("array_max", &[array], array_order::element_type, array_order::array_max),
    F::new("array_min", &[array], array_order::element_type, array_order::array_min),
    F::new("array_distinct", &[array], same, sets::array_distinct),
    F::new("array_union", &[array, array], same, sets::array_union).coerced(types::all_alike),
    F::new("array_intersect", &[array, array], same, sets::array_intersect).coerced(types::all_alike),
    F::new("array_except", &[array, array], same, sets::array_except).coerced(types::all_alike),
    F::new("arrays_overlap", &[array, array], gives_boolean, sets::arrays_overlap).coerced(types::all_alike),
    F::new("array_contains", &[array, any], gives_boolean, element::array_contains)
        .coerced(array_build::array_and_wanted),
    F::new("array_position", &[array, any], gives_long, element::array_position).coerced(array_build::array_and_wanted),
    F::new("get", &[array, int], array_order::element_type, element::get),
    F::new("shuffle", &[array], same, misc::shuffle).volatile(),
    F::new("size", &[array_or_map], gives_int, element::size),
    F::new("cardinality", &[array_or_map], gives_int, element::size),
    F::new("array_size", &[array], gives_int, element::size),
    F::new("element_at", &[array_or_map, any], element::element_at_type, element::element_at)
        .coerced(element::element_at_args),
    F::new("try_element_at", &[array_or_map, any], element::element_at_type, element::try_element_at)
        .coerced(element::element_at_args),
    // Maps and structs
    F::new("map", &[any], maps::map_type, maps::map).optional(1).repeats().coerced(maps::map_args),
    F::new("map_keys", &[map], maps::keys_type, maps::map_keys),
    F::new("map_values", &[map], maps::values_type, maps::map_values),
    F::new("map_entries", &[map], maps::entries_type, maps::map_entries),
    F::new("map_from_arrays", &[array, array], maps::from_arrays_type, maps::map_from_arrays),
    F::new("map_from_entries", &[array], maps::from_entries_type, maps::map_from_entries),
    F::new("map_concat", &[map], maps::concat_type, maps::map_concat).optional(1).repeats().coerced(types::all_alike),
    F::new("map_contains_key", &[map, any], gives_boolean, element::map_contains_key).coerced(element::map_and_key),
    F::new("str_to_map", &[string, string, string], maps::text_map, maps::str_to_map).optional(2),
    F::new("struct", &[any], structs::struct_type, structs::create).optional(1).repeats(),
    F::new("named_struct", &[any], structs::named_struct_type, structs::named_struct).optional(1).repeats(),
    // JSON
    F::new("from_json", &[only_text, any, json::options_map], json::from_json_type, json::from_json).optional(1),
    F::new("to_json", &[any, json::options_map], gives_text, json::to_json).optional(1).coerced(json::to_json_args),
    F::new("schema_of_json", &[string, json::options_map], gives_text, json::schema_of_json).optional(1),
    F::new("get_json_object", &[string, string], gives_text, json::get_json_object),
    F::new("json_array_length", &[string], gives_int, json::json_array_length),
    F::new("json_object_keys", &[string], gives_texts, json::json_object_keys),
    // Rows out of one row: see generators.rs
    F::new("explode", &[array_or_map], generators::explode_type, generators::explode),
    F::new("explode_outer", &[array_or_map], generators::explode_type, generators::explode),
    F::new("posexplode", &[array_or_map], generators::posexplode_type, generators::posexplode),
    F::new("posexplode_outer", &[array_or_map], generators::posexplode_type, generators::posexplode),
    F::new("inline", &[generators::structs], same, misc::identity),
    F::new("inline_outer", &[generators::structs], same, misc::identity),
    F::new("stack", &[int, any], generators::stack_type, generators::stack).repeats(),
    F::new("json_tuple", &[string, string], json::tuple_type, json::json_tuple).repeats(),
    // Casts by a type's name, and the session
    F::new("boolean", &[any], gives_boolean, misc::cast_by_name),
    F::new("tinyint", &[any], gives_byte, misc::cast_by_name),
    F::new("smallint", &[any], misc::short, misc::cast_by_name),
    F::new("int", &[any], gives_int, misc::cast_by_name),
    F::new("bigint", &[any], gives_long, misc::cast_by_name),
    F::new("float", &[any], gives_float, misc::cast_by_name),
    F::new("double", &[any], gives_double, misc::cast_by_name),
    F::new("decimal", &[any], misc::default_decimal, misc::cast_by_name),
    F::new("date", &[any], gives_date, misc::cast_by_name),
    F::new("timestamp", &[any], gives_timestamp, misc::cast_by_name),
    F::new("binary", &[any], gives_binary, misc::cast_by_name),
    F::new("string", &[any], gives_text, misc::cast_by_name),
    F::new("typeof", &[any], gives_text, misc::type_of),
    F::new("version", &[], gives_text, misc::version),
    F::new("current_catalog", &[], gives_text, misc::current_catalog),
    F::new("current_database", &[], gives_text, misc::current_database),
    F::new("current_schema", &[], gives_text, misc::current_database),
];

/// The functions as DataFusion knows them, each once for the whole process.
static UDFS: LazyLock<Vec<Arc<ScalarUDF>>> =
    LazyLock::new(|| FUNCTIONS.iter().map(|f| Arc::new(function::to_udf(f))).collect());

static BY_NAME: LazyLock<HashMap<&'static str, Arc<ScalarUDF>>> =
    LazyLock::new(|| FUNCTIONS.iter().zip(UDFS.iter()).map(|(f, udf)| (f.name, Arc::clone(udf))).collect());

/// All functions of the catalogue. A plan that was sent is read back with these, and with [`internal_functions`].
pub fn scalar_functions() -> Vec<Arc<ScalarUDF>> {
    UDFS.clone()
}

/// Functions of DataFusion's that its planner and optimizer put into plans by themselves.
pub fn internal_functions() -> Vec<Arc<ScalarUDF>> {
    vec![datafusion::functions::core::get_field()]
}

/// A function by its name in lower case.
pub fn function(name: &str) -> Option<Arc<ScalarUDF>> {
    BY_NAME.get(name).cloned()
}

/// Makes the catalogues a session's only scalar and aggregate functions.
///
/// To be called after `with_default_features`, whose window functions and expression planners stay.
pub fn register_all(builder: SessionStateBuilder) -> SessionStateBuilder {
    let mut functions = scalar_functions();
    functions.extend(internal_functions());
    builder.with_scalar_functions(functions).with_aggregate_functions(aggregate_functions())
}

fn implicit_cast() -> Arc<ScalarUDF> {
    Arc::clone(&BY_NAME[IMPLICIT_CAST])
}
