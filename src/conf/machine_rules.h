/* machine_rules.h - what the few words of a sheet say of every pair; machine.c and machine_write.c agree by it
 *
 * Layer: conf.
 */
#ifndef TUG_CONF_MACHINE_RULES_H
#define TUG_CONF_MACHINE_RULES_H

#include "base/gpuset.h"
#include "base/machine.h"

struct tug_machine_rules {
    tug_gpuset below[TUG_GPUS_MAX]; /* the same PCIe switch as that GPU; 0 = none is said */
    uint8_t near;                   /* enum tug_link_class at one NUMA node */
    unsigned generation;            /* of PCIe; 0 = not known */
    unsigned links;                 /* of each GPU into the NVSwitches */
    uint32_t per_link_mbs;
};

uint8_t tug_rule_class(const struct tug_machine_rules *r, const struct tug_machine *m, uint32_t i, uint32_t k);
uint8_t tug_rule_nic_class(const struct tug_machine_rules *r, const struct tug_machine *m, uint32_t gpu, uint32_t nic);
uint8_t tug_rule_nvlinks(const struct tug_machine_rules *r, const struct tug_machine *m, uint32_t i, uint32_t k);
/* By what the link is in 'm'. */
uint32_t tug_rule_mbs(const struct tug_machine_rules *r, const struct tug_machine_link *l);
uint32_t tug_rule_port(const struct tug_machine_rules *r, const struct tug_machine *m, uint32_t i);

#endif
