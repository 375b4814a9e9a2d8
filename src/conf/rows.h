/* rows.h - makes the schema of a table like config.def: include it right before the table, in one file only
 *
 * config.def tells what the rows are; the table undefines them at its end. structs.h makes the structs.
 */
enum { TUG_CONF_REQUIRED = 1, TUG_CONF_SPECIAL = 2 };

/* clang-format off */
#define TUG_COUNT_SECTION(S, field) 0
#define TUG_COUNT_LIST(S, field) offsetof(struct S, n_##field)
#define TUG_COUNT_MAP(S, field) offsetof(struct S, n_##field)

#define TUG_CONF_BEGIN(S, title, about)                    \
    static const char S##_title[] = title;                 \
    static const char S##_text[] = about;                  \
    static const struct tug_schema_key S##_keys[] = {
#define TUG_CONF_KEY(S, ty, nm, field, de, lo, hi, un, flags, rel, about)                         \
    {.name = #nm, .type = TUG_SCHEMA_##ty, .offset = offsetof(struct S, field), .def = de,        \
     .min = lo, .max = hi, .unit = un, .required = ((flags) & TUG_CONF_REQUIRED) != 0,            \
     .special = ((flags) & TUG_CONF_SPECIAL) != 0, .reload = TUG_RELOAD_##rel, .text = about},
#define TUG_CONF_ENUM(S, nm, field, de, rel, about, ...)                                          \
    {.name = #nm, .type = TUG_SCHEMA_ENUM, .offset = offsetof(struct S, field), .def = de,        \
     .values = (const char *const[]){__VA_ARGS__, NULL}, .reload = TUG_RELOAD_##rel,              \
     .text = about},
#define TUG_CONF_SUB(S, kind, nm, field, substruct, hi, rel)                                      \
    {.name = #nm, .type = TUG_SCHEMA_##kind, .offset = offsetof(struct S, field),                 \
     .count_offset = TUG_COUNT_##kind(S, field), .max = hi, .sub = &substruct##_schema,           \
     .reload = TUG_RELOAD_##rel, .text = substruct##_text},
#define TUG_CONF_PRIVATE(S, declaration)
#define TUG_CONF_END(S)                                                                           \
    };                                                                                            \
    const struct tug_schema S##_schema = {S##_title, S##_keys, sizeof S##_keys / sizeof *S##_keys, \
                                          sizeof(struct S), S##_text};
/* clang-format on */
