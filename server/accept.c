/* SPDX-License-Identifier: Apache-2.0
 *
 * See accept.h. An element of Accept that is malformed is passed over: nobody is refused for it. */
#include "server/accept.h"

#include <assert.h>

enum range { RANGE_NONE, RANGE_ALL, RANGE_APPLICATION, RANGE_NAMED }; /* rising precedence */

struct claim { /* what Accept says of one type */
    enum range range;
    unsigned   weight;   /* thousandths */
    size_t     position; /* of the element */
};

/* 0, 0.5, 1.000: up to three decimals, at most 1. */
static bool read_weight(wfl_slice text, unsigned *out)
{
    unsigned weight = 0, scale = 1000;

    if (text.len == 0 || text.len > 5 || (text.len > 1 && text.data[1] != '.')) return false;
    for (size_t i = 0; i < text.len; i++) {
        if (i == 1) continue;
        if (text.data[i] < '0' || text.data[i] > '9') return false;
        weight += (unsigned)(text.data[i] - '0') * scale;
        scale /= 10;
    }
    *out = weight;
    return weight <= 1000;
}

static bool find_weight(wfl_slice parameters, unsigned *out)
{
    bool more = parameters.len > 0;

    *out = 1000;
    while (more) {
        wfl_slice value, name;

        more = wfl_slice_split(&parameters, ';', &value);
        value = wfl_slice_trim(value);
        if (!wfl_slice_split(&value, '=', &name) || !wfl_slice_eq_nocase(name, WFL_S("q")))
            continue;
        return read_weight(value, out);
    }
    return true;
}

static void make_claim(struct claim *claim, enum range range, unsigned weight, size_t position)
{
    if (range > claim->range) *claim = (struct claim){range, weight, position};
}

static void take_element(wfl_slice element, const wfl_slice *types, size_t count, size_t position,
                         struct claim *claims)
{
    wfl_slice type;
    unsigned  weight;

    wfl_slice_split(&element, ';', &type);
    type = wfl_slice_trim(type);
    if (!find_weight(element, &weight)) return;
    if (wfl_slice_eq(type, WFL_S("*/*")))
        make_claim(&claims[0], RANGE_ALL, weight, position);
    else if (wfl_slice_eq_nocase(type, WFL_S("application/*")))
        make_claim(&claims[0], RANGE_APPLICATION, weight, position);
    for (size_t i = 0; i < count; i++)
        if (wfl_slice_eq_nocase(type, types[i]))
            make_claim(&claims[i], RANGE_NAMED, weight, position);
}

static bool is_better(const struct claim *a, const struct claim *b)
{
    if (a->weight != b->weight) return a->weight > b->weight;
    if (a->range != b->range) return a->range > b->range;
    return a->position < b->position;
}

size_t accept_choose(const struct wfl_request *head, const wfl_slice *types, size_t count)
{
    struct claim claims[ACCEPT_TYPES_MAX] = {0};
    size_t       position = 0, best = 0;

    assert(count > 0 && count <= ACCEPT_TYPES_MAX);
    for (uint32_t h = 0; h < head->header_count; h++) {
        wfl_slice list = head->headers[h].value, element;
        bool      more = wfl_slice_eq(head->headers[h].name, WFL_S("accept"));

        while (more) {
            more = wfl_slice_split(&list, ',', &element);
            take_element(element, types, count, position++, claims);
        }
    }
    for (size_t i = 1; i < count; i++)
        if (claims[i].weight > 0 && is_better(&claims[i], &claims[best])) best = i;
    return best;
}

bool accept_sent(const struct wfl_request *head, wfl_slice type)
{
    const struct wfl_header *h = wfl_request_header(head, WFL_S("content-type"));
    wfl_slice                value, sent;

    if (h == NULL) return false;
    value = h->value;
    wfl_slice_split(&value, ';', &sent);
    return wfl_slice_eq_nocase(wfl_slice_trim(sent), type);
}
