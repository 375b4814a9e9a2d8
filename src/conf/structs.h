/* structs.h - makes structs of a table like config.def: include it right before the table
 *
 * config.def tells what the rows are; the table undefines them at its end. rows.h makes the schema.
 */
#ifndef TUG_CTYPE_BOOL
#define TUG_CTYPE_BOOL bool
#define TUG_CTYPE_INT int64_t
#define TUG_CTYPE_DURATION int64_t
#define TUG_CTYPE_SIZE int64_t
#define TUG_CTYPE_BANDWIDTH int64_t
#define TUG_CTYPE_RATIO int64_t
#define TUG_CTYPE_STRING char *
#define TUG_CTYPE_NAME char *
#define TUG_CTYPE_PATH char *
#define TUG_CTYPE_ADDRESS struct tug_conf_address
#define TUG_CTYPE_HOSTS struct tug_conf_hosts
#define TUG_CTYPE_STRINGS struct tug_conf_strings
#define TUG_CTYPE_PARAMS struct tug_conf_params
#define TUG_CSUB_SECTION(field, sub) struct sub field
#define TUG_CSUB_LIST(field, sub) struct sub *field; size_t n_##field
#define TUG_CSUB_MAP(field, sub) struct sub *field; size_t n_##field
#endif

#define TUG_CONF_BEGIN(S, title, text) struct S { struct tug_schema_origin origin;
#define TUG_CONF_KEY(S, type, name, field, ...) TUG_CTYPE_##type field;
#define TUG_CONF_ENUM(S, name, field, ...) int field;
#define TUG_CONF_SUB(S, kind, name, field, sub, max, reload) TUG_CSUB_##kind(field, sub);
#define TUG_CONF_PRIVATE(S, declaration) declaration;
#define TUG_CONF_END(S) }; extern const struct tug_schema S##_schema;
