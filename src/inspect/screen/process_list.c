/* SPDX-License-Identifier: MIT */
#include "inspect/screen/process_list.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "inspect/core/slot_info.h"
#include "inspect/core/text.h"
#include "inspect/screen/canvas.h"

const char *process_format_age(char text[PROCESS_AGE_SIZE], int64_t seconds)
{
    enum { MINUTE = 60, HOUR = 60 * MINUTE, DAY = 24 * HOUR };
    if (seconds < MINUTE)
        snprintf(text, PROCESS_AGE_SIZE, "%" PRId64 "s", seconds);
    else if (seconds < HOUR)
        snprintf(text, PROCESS_AGE_SIZE, "%" PRId64 "m%02" PRId64 "s", seconds / MINUTE,
                 seconds % MINUTE);
    else if (seconds < DAY)
        snprintf(text, PROCESS_AGE_SIZE, "%" PRId64 "h%02" PRId64 "m", seconds / HOUR,
                 seconds % HOUR / MINUTE);
    else if (seconds < INT64_C(100) * DAY)
        snprintf(text, PROCESS_AGE_SIZE, "%" PRId64 "d%02" PRId64 "h", seconds / DAY,
                 seconds % DAY / HOUR);
    else
        snprintf(text, PROCESS_AGE_SIZE, "%" PRId64 "d", seconds / DAY);
    return text;
}

enum { SLOT_AND_KIND = 13 }; /* columns that stay where they are */

static double process_sort_key(const struct sampler_slot *slot, enum view_processes order)
{
    switch (order) {
    case VIEW_BY_CPU:
        return slot->cpu;
    case VIEW_BY_MEMORY:
        return (double)slot->usage.memory;
    case VIEW_BY_SLOT:
    case VIEW_PROCESS_ORDERS:
        break;
    }
    return 0;
}

static int compare_slots(const void *a, const void *b, void *data)
{
    const struct sampler_slot *const *x = a, *const *y = b;
    const enum view_processes *order = data;
    double key_x = process_sort_key(*x, *order), key_y = process_sort_key(*y, *order);
    if (key_x != key_y)
        return key_x > key_y ? -1 : 1;
    return (int)(*x)->info.slot - (int)(*y)->info.slot;
}

static void draw_slot(const struct sampler_slot *slot)
{
    const struct shm_slot_info *info = &slot->info;
    char up[PROCESS_AGE_SIZE], memory[TEXT_BYTES_SIZE], held[TEXT_BYTES_SIZE], cpu[24] = "-";
    int64_t age = clock_real_coarse_s() - (int64_t)info->started_at;
    if (slot->cpu >= 0)
        snprintf(cpu, sizeof(cpu), "%.1f", slot->cpu);
    canvas_row(info->alive ? CANVAS_PLAIN : CANVAS_DANGER,
               "%4u %-7s %3u %7" PRIu32 " %-5s %6s %6s %9s %7.1f %6" PRIu64 " %9s %6" PRIu64
               " %9" PRIu64 " %12" PRIu64,
               info->slot, slot_info_kind_name(info->kind), info->number, info->pid,
               slot_info_state_name(info), process_format_age(up, age > 0 ? age : 0), cpu,
               slot->usage.known ? text_format_bytes(memory, slot->usage.memory) : "-",
               slot->call_rate, slot->connections, text_format_bytes(held, info->held_bytes),
               info->behind, info->snapshots, slot->calls);
}

void process_list_draw(const struct sampler *sampler, const struct view *view)
{
    static const char *const orders[VIEW_PROCESS_ORDERS] = {"slot", "cpu", "memory"};
    const struct sampler_slot *slots[SHM_SLOTS];
    enum view_processes order = view->processes;
    for (size_t i = 0; i < sampler->num_slots; i++)
        slots[i] = &sampler->slots[i];
    qsort_r(slots, sampler->num_slots, sizeof(slots[0]), compare_slots, &order);
    canvas_keep(CANVAS_LINE_MAX);
    canvas_row(CANVAS_PLAIN, "processes, by %s", orders[order]);
    canvas_keep(SLOT_AND_KIND);
    canvas_row(CANVAS_BOLD, "%4s %-7s %3s %7s %-5s %6s %6s %9s %7s %6s %9s %6s %9s %12s", "slot",
               "kind", "no", "pid", "state", "up", "cpu %", "memory", "calls/s", "conns", "keeps",
               "behind", "snapshots", "calls");
    for (size_t i = 0; i < sampler->num_slots; i++)
        draw_slot(slots[i]);
    canvas_row(CANVAS_PLAIN, "%s", "");
}
