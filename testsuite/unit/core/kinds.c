/* kinds.c - machines for tests of the core, made by hand
 *
 * Layer: tests.
 */
#include "kinds.h"

#include "unit.h"

#include "base/mem.h"

static void set_link(struct tug_machine *m, uint32_t a, uint32_t b, struct tug_machine_link l)
{
    m->link[a][b] = m->link[b][a] = l;
}

static struct tug_machine *blank(uint32_t n, uint32_t n_numa)
{
    struct tug_machine *m = tug_new(struct tug_machine);
    m->n_gpus = n;
    m->n_numa = n_numa;
    for (uint32_t i = 0; i < n; i++) {
        strcpy(m->gpu[i].model, "h100");
        m->gpu[i].mem_mib = 81920;
        m->gpu[i].numa = i * n_numa / n;
        m->link[i][i].class = TUG_LINK_SELF;
    }
    return m;
}

static struct tug_machine_link pcie(enum tug_link_class class)
{
    return (struct tug_machine_link){.class = (uint8_t) class, .mbs = tug_link_class_mbs(class, 4)};
}

static enum tug_link_class class_of(const struct tug_machine *m, uint32_t a, uint32_t b)
{
    return a / 2 == b / 2 ? TUG_LINK_PIX : m->gpu[a].numa == m->gpu[b].numa ? TUG_LINK_NODE : TUG_LINK_SYS;
}

struct tug_machine *kind_switched(uint32_t n, uint32_t port_mbs)
{
    struct tug_machine *m = blank(n, 2);
    m->nvswitch = 1;
    for (uint32_t i = 0; i < n; i++) {
        m->gpu[i].port_mbs = port_mbs;
        for (uint32_t k = 0; k < i; k++)
            set_link(m, i, k,
                 (struct tug_machine_link){.class = (uint8_t) class_of(m, i, k), .nvlinks = 18, .mbs = port_mbs});
    }
    return m;
}

struct tug_machine *kind_mesh(void)
{
    static const uint8_t twice[][2] = {{0, 3}, {0, 4}, {1, 2}, {1, 5}, {2, 3}, {4, 7}, {5, 6}, {6, 7}},
                         once[][2] = {{0, 1}, {0, 2}, {1, 3}, {2, 6}, {3, 7}, {4, 5}, {4, 6}, {5, 7}};
    struct tug_machine *m = blank(8, 2);
    for (uint32_t i = 0; i < 8; i++) {
        m->gpu[i].port_mbs = 150000;
        for (uint32_t k = 0; k < i; k++)
            set_link(m, i, k, pcie(class_of(m, i, k)));
    }
    for (size_t i = 0; i < 8; i++) {
        m->link[twice[i][0]][twice[i][1]].nvlinks = 2;
        m->link[twice[i][0]][twice[i][1]].mbs = 50000;
        m->link[once[i][0]][once[i][1]].nvlinks = 1;
        m->link[once[i][0]][once[i][1]].mbs = 25000;
    }
    for (uint32_t i = 0; i < 8; i++)
        for (uint32_t k = 0; k < i; k++)
            m->link[i][k] = m->link[k][i];
    for (uint32_t i = 0; i < 8; i += 2)
        kind_add_nic(m, 3ULL << i, 12500);
    return m;
}

struct tug_machine *kind_pairs(uint32_t n)
{
    struct tug_machine *m = blank(n, 2);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < i; k++) {
            struct tug_machine_link l = pcie(class_of(m, i, k));
            if (i / 2 == k / 2)
                l = (struct tug_machine_link){.class = l.class, .nvlinks = 4, .mbs = 100000};
            set_link(m, i, k, l);
        }
    return m;
}

void kind_add_nic(struct tug_machine *m, tug_gpuset near, uint32_t mbs)
{
    uint32_t n = m->n_nics++;
    struct tug_machine_nic *nic = &m->nic[n];
    snprintf(nic->name, sizeof nic->name, "mlx5_%u", n);
    nic->mbs = mbs;
    nic->is_ib = 1;
    nic->numa = m->gpu[__builtin_ctzll(near)].numa;
    for (uint32_t i = 0; i < m->n_gpus; i++)
        m->nic_class[i][n] = near >> i & 1                 ? TUG_LINK_PIX
                             : m->gpu[i].numa == nic->numa ? TUG_LINK_NODE
                                                           : TUG_LINK_SYS;
}

struct tug_machine *kind_random(struct tug_rand *r, uint32_t n)
{
    struct tug_machine *m = blank(n, 1 + (uint32_t) tug_rand_below(r, n < 2 ? n : 2));
    uint32_t links = (uint32_t) tug_rand_below(r, 5); /* of five pairs, so many have NVLinks */
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < i; k++) {
            static const enum tug_link_class classes[] = {TUG_LINK_PIX, TUG_LINK_PXB, TUG_LINK_PHB, TUG_LINK_NODE,
                                                          TUG_LINK_SYS};
            struct tug_machine_link l = pcie(classes[tug_rand_below(r, 5)]);
            if (tug_rand_below(r, 5) < links) {
                l.nvlinks = (uint8_t) (1 + tug_rand_below(r, 4));
                l.mbs = l.nvlinks * 25000u;
            }
            set_link(m, i, k, l);
        }
    for (uint32_t i = 0; i < n && tug_rand_below(r, 2); i++)
        m->gpu[i].port_mbs = 25000u * (uint32_t) (1 + tug_rand_below(r, 12));
    uint32_t nics = (uint32_t) tug_rand_below(r, n + 1);
    for (uint32_t i = 0; i < nics; i++)
        kind_add_nic(m, 1ULL << tug_rand_below(r, n), 12500u * (uint32_t) (1 + tug_rand_below(r, 4)));
    return m;
}
