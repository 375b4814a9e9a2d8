/* symbols.c - what a shared object gives to others and takes from them, read from the file
 *
 * The file may be anything: every offset is checked against its size. Layer: sim.
 */
#include "sim/symbols.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"

struct image {
    const char *path;
    const unsigned char *at;
    size_t len;
};

/* n things of that size at 'offset'; NULL: they are not in the file. */
static const void *part(const struct image *im, uint64_t offset, uint64_t n, size_t size)
{
    uint64_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes) || offset > im->len || bytes > im->len - offset)
        return NULL;
    return im->at + offset;
}

static int is_ours(const char *name)
{
    static const char *const others[] = {"_init",  "_fini",  "_edata",     "_end",    "__bss_start",
                                         "_ITM_",  "__asan", "__odr_asan", "__ubsan", "__sanitizer",
                                         "__gcov", "__lsan", "__gmon"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (i < 5 ? !strcmp(name, others[i]) : tug_str_has_prefix(name, others[i]))
            return 0;
    return *name != '\0';
}

static void take(struct tug_symbols *out, const Elf64_Sym *sym, const char *name)
{
    int bind = ELF64_ST_BIND(sym->st_info), visibility = ELF64_ST_VISIBILITY(sym->st_other);
    if (!is_ours(name) || bind == STB_LOCAL)
        return;
    if (sym->st_shndx == SHN_UNDEF) {
        if (bind == STB_GLOBAL)
            tug_vec_push(&out->needed, tug_xstrdup(name));
    } else if (visibility == STV_DEFAULT || visibility == STV_PROTECTED) {
        tug_vec_push(&out->exported, tug_xstrdup(name));
    }
}

static int damaged(const struct image *im, const char *what, struct tug_err *err)
{
    return tug_fail(err, -ENOEXEC, "%s is damaged: %s is not inside the file", im->path, what);
}

static int read_table(const struct image *im, const Elf64_Shdr *sections, size_t n,
                      const Elf64_Shdr *table, struct tug_symbols *out, struct tug_err *err)
{
    if (table->sh_link >= n)
        return damaged(im, "the names of its symbols", err);
    const Elf64_Shdr *strings = &sections[table->sh_link];
    uint64_t count = table->sh_size / sizeof(Elf64_Sym);
    const unsigned char *syms = part(im, table->sh_offset, count, sizeof(Elf64_Sym));
    const char *names = part(im, strings->sh_offset, strings->sh_size, 1);
    if (!syms || !names || !strings->sh_size || names[strings->sh_size - 1])
        return damaged(im, "its table of symbols", err);
    for (uint64_t i = 1; i < count; i++) {
        Elf64_Sym sym; /* may not be aligned */
        memcpy(&sym, syms + i * sizeof sym, sizeof sym);
        if (sym.st_name >= strings->sh_size)
            return damaged(im, "the name of a symbol", err);
        take(out, &sym, names + sym.st_name);
    }
    return 0;
}

static int read_image(const struct image *im, struct tug_symbols *out, struct tug_err *err)
{
    Elf64_Ehdr head, ours;
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    int have = fd >= 0 && read(fd, &ours, sizeof ours) == (ssize_t) sizeof ours;
    if (fd >= 0)
        close(fd);
    if (im->len < sizeof head || memcmp(im->at, ELFMAG, SELFMAG) != 0)
        return tug_fail(err, -ENOEXEC, "%s is not a shared object: it does not begin as one does",
                        im->path);
    memcpy(&head, im->at, sizeof head);
    if (head.e_ident[EI_CLASS] != ELFCLASS64 ||
        (have &&
         (head.e_machine != ours.e_machine || head.e_ident[EI_DATA] != ours.e_ident[EI_DATA])))
        return tug_fail(err, -ENOEXEC, "%s was built for another machine", im->path);
    if (head.e_type != ET_DYN)
        return tug_fail(err, -ENOEXEC, "%s is not a shared object; build it with -shared -fPIC",
                        im->path);
    const void *at = part(im, head.e_shoff, head.e_shnum, sizeof(Elf64_Shdr));
    if (!at || head.e_shentsize != sizeof(Elf64_Shdr))
        return damaged(im, "the list of its sections", err);
    Elf64_Shdr *sections = tug_xmemdup(at, head.e_shnum * sizeof *sections);
    int rc = 0;
    for (size_t i = 0; i < head.e_shnum && !rc; i++)
        if (sections[i].sh_type == SHT_DYNSYM)
            rc = read_table(im, sections, head.e_shnum, &sections[i], out, err);
    free(sections);
    return rc;
}

int tug_symbols_read(const char *path, struct tug_symbols *out, struct tug_err *err)
{
    struct stat st;
    int rc = 0, fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return tug_fail(err, -errno, "%s cannot be read: %s", path, strerror(errno));
    if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size == 0)
        rc = tug_fail(err, -ENOEXEC, "%s is not a shared object: it is %s", path,
                      S_ISREG(st.st_mode) ? "empty" : "no file");
    void *at = MAP_FAILED;
    if (!rc)
        at = mmap(NULL, (size_t) st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (!rc && at == MAP_FAILED)
        rc = tug_fail(err, -errno, "%s cannot be read: %s", path, strerror(errno));
    close(fd);
    if (rc)
        return rc;
    const struct image im = {path, at, (size_t) st.st_size};
    rc = read_image(&im, out, err);
    munmap(at, im.len);
    return rc;
}

void tug_symbols_clear(struct tug_symbols *s)
{
    for (size_t i = 0; i < s->exported.len; i++)
        free(s->exported.at[i]);
    for (size_t i = 0; i < s->needed.len; i++)
        free(s->needed.at[i]);
    tug_vec_clear(&s->exported);
    tug_vec_clear(&s->needed);
}
