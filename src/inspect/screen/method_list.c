/* SPDX-License-Identifier: MIT */
#include "inspect/screen/method_list.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "inspect/screen/canvas.h"

/* Percent of the calls that ended. From here on, errors have a colour. */
static const double WARNING_ERRORS = 1, DANGER_ERRORS = 5;

/* The methods that are drawn, in their order. */
struct method_list {
    enum view_methods order;
    size_t count;
    struct method_row {
        const struct call_method *method; /* of the calls that are shown */
        double call_rate;                 /* per second */
        uint64_t calls;                   /* since the counters were created */
    } rows[CALL_STATS_METHODS_MAX];
};

static double error_percent(uint64_t failed, uint64_t ended)
{
    return ended != 0 ? (double)failed * 100 / (double)ended : 0;
}

static enum canvas_style error_style(double percent)
{
    if (percent >= DANGER_ERRORS)
        return CANVAS_DANGER;
    return percent >= WARNING_ERRORS ? CANVAS_WARNING : CANVAS_PLAIN;
}

/* ---- the order ---- */

/* A method without calls comes last. */
static double p99_of(const struct method_row *row)
{
    double ms = histogram_percentile(&row->method->times, 0.99);
    return isnan(ms) ? -1 : ms;
}

static double method_sort_key(const struct method_row *row, enum view_methods order)
{
    switch (order) {
    case VIEW_BY_CALLS:
        return (double)row->method->started;
    case VIEW_BY_ERRORS:
        return (double)row->method->failed;
    case VIEW_BY_P99:
        return p99_of(row);
    case VIEW_BY_METHOD:
    case VIEW_METHOD_ORDERS:
        break;
    }
    return 0;
}

static int compare_rows(const void *a, const void *b, void *data)
{
    const struct method_row *x = a, *y = b;
    const enum view_methods *order = data;
    double key_x = method_sort_key(x, *order), key_y = method_sort_key(y, *order);
    if (key_x != key_y)
        return key_x > key_y ? -1 : 1;
    if (*order == VIEW_BY_METHOD)
        return strcmp(x->method->name, y->method->name);
    return x->method < y->method ? -1 : x->method > y->method; /* the server's order */
}

/* ---- rows ---- */

static void gather_rows(struct method_list *list, const struct sampler *sampler,
                        const struct view *view)
{
    const struct call_stats *shown = view->total ? sampler->total : sampler->recent;
    list->order = view->methods;
    list->count = 0;
    for (size_t i = 0; i < shown->num_methods; i++) {
        const struct call_method *method = &shown->methods[i];
        if ((sampler->total->methods[i].started == 0 && !view->zeros) ||
            !view_shows(view, method->name))
            continue;
        double window = sampler->window;
        double rate = window > 0 ? (double)sampler->recent->methods[i].started / window : 0;
        list->rows[list->count++] =
            (struct method_row){method, rate, sampler->total->methods[i].started};
    }
    qsort_r(list->rows, list->count, sizeof(list->rows[0]), compare_rows, &list->order);
}

static void draw_header(const struct method_list *list, const struct sampler *sampler,
                        const struct view *view, int width)
{
    static const char *const orders[VIEW_METHOD_ORDERS] = {"calls", "errors", "p99", "name"};
    canvas_keep(CANVAS_LINE_MAX);
    if (view->total)
        canvas_row(CANVAS_PLAIN, "all calls, by %s", orders[view->methods]);
    else
        canvas_row(CANVAS_PLAIN, "calls of the last %.0f s, by %s", sampler->window,
                   orders[view->methods]);
    canvas_keep(width + 1);
    canvas_row(CANVAS_BOLD, "%-*s %8s %6s %7s %7s %7s %7s %9s", width, "method", "calls/s", "err %",
               "p50 ms", "p90 ms", "p99 ms", "p99.9", "calls");
    if (list->count == 0)
        canvas_row(CANVAS_PLAIN, "%s",
                   view->filter[0] != '\0' ? "none with the filter's text" : "no calls yet");
}

static void draw_row(const struct method_row *row, int width)
{
    static const double shares[] = {0.5, 0.9, 0.99, 0.999};
    enum { SHARES = sizeof(shares) / sizeof(shares[0]) };
    char texts[SHARES][HISTOGRAM_MS_SIZE];
    const char *shown[SHARES];
    const struct call_method *method = row->method;
    double percent = error_percent(method->failed, method->ended);
    for (size_t i = 0; i < SHARES; i++)
        shown[i] = histogram_format(texts[i], &method->times, shares[i]);
    canvas_row(error_style(percent), "%-*s %8.1f %6.2f %7s %7s %7s %7s %9" PRIu64, width,
               method->name, row->call_rate, percent, shown[0], shown[1], shown[2], shown[3],
               row->calls);
}

void method_list_draw(const struct sampler *sampler, const struct view *view)
{
    static struct method_list list;
    int width = (int)strlen("method");
    gather_rows(&list, sampler, view);
    for (size_t i = 0; i < list.count; i++) {
        int len = (int)strlen(list.rows[i].method->name);
        width = MAX(width, len);
    }
    draw_header(&list, sampler, view, width);
    for (size_t i = 0; i < list.count; i++)
        draw_row(&list.rows[i], width);
    canvas_row(CANVAS_PLAIN, "%s", "");
}

void method_list_draw_sum(const struct sampler *sampler, int y)
{
    uint64_t started = 0, ended = 0, failed = 0, open = 0;
    if (sampler->recent == NULL)
        return;
    for (size_t i = 0; i < sampler->recent->num_methods; i++) {
        started += sampler->recent->methods[i].started;
        ended += sampler->recent->methods[i].ended;
        failed += sampler->recent->methods[i].failed;
    }
    for (size_t i = 0; i < sampler->num_slots; i++)
        open += sampler->slots[i].connections;
    double window = sampler->window > 0 ? sampler->window : 1;
    double percent = error_percent(failed, ended);
    canvas_line(y, error_style(percent),
                "calls    %.1f/s   errors %.1f/s, %.2f %%   connections %" PRIu64,
                (double)started / window, (double)failed / window, percent, open);
}
