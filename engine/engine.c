/* SPDX-License-Identifier: Apache-2.0
 *
 * engine.h's functions, handed to the engine behind them. */
#include "engine/engine_private.h"

#define WFL_SPACE_NAME(name, text) text,
const char *const wfl_space_names[WFL_SPACE_COUNT] = {WFL_SPACES(WFL_SPACE_NAME)};
#undef WFL_SPACE_NAME

void wfl_pin_release(struct wfl_pin *pin)
{
    if (pin->release != NULL) pin->release(pin);
    *pin = (struct wfl_pin){0};
}

wfl_code wfl_engine_get(struct wfl_engine *e, struct wfl_engine_get *get)
{
    get->rc = WFL_PENDING;
    get->pin = (struct wfl_pin){0};
    get->own.engine = e;
    return e->ops->get(e, get);
}

wfl_code wfl_engine_range(struct wfl_engine *e, struct wfl_engine_range *range)
{
    range->rc = WFL_PENDING;
    range->pairs = NULL;
    range->count = 0;
    range->more = false;
    range->own.engine = e;
    range->own.memory = NULL;
    return e->ops->range(e, range);
}

wfl_code wfl_engine_work(struct wfl_engine *e, struct wfl_engine_work *work)
{
    return e->ops->work(e, work);
}

wfl_code wfl_engine_commit(struct wfl_engine *e, struct wfl_commit *c)
{
    c->rc = WFL_PENDING;
    c->own.next = NULL;
    return e->ops->commit(e, c);
}

void wfl_engine_set_hooks(struct wfl_engine *e, const struct wfl_group_hooks *hooks)
{
    e->ops->set_hooks(e, hooks);
}

void wfl_engine_stats(struct wfl_engine *e, struct wfl_engine_stats *out)
{
    memset(out, 0, sizeof *out);
    e->ops->stats(e, out);
}

wfl_code wfl_engine_checkpoint(struct wfl_engine *e, const char *path, wfl_error *err)
{
    return e->ops->checkpoint(e, path, err);
}

void wfl_engine_stop(struct wfl_engine *e)
{
    if (e != NULL) e->ops->stop(e);
}

void wfl_engine_close(struct wfl_engine *e)
{
    if (e != NULL) e->ops->close(e);
}

wfl_code wfl_txn_get(struct wfl_txn *t, enum wfl_space space, wfl_slice key, struct wfl_pin *pin,
                     wfl_error *err)
{
    *pin = (struct wfl_pin){0};
    return t->ops->get(t, space, key, pin, err);
}

wfl_code wfl_txn_put(struct wfl_txn *t, enum wfl_space space, wfl_slice key, const wfl_slice *parts,
                     size_t part_count, wfl_error *err)
{
    return t->ops->put(t, space, key, parts, part_count, err);
}

wfl_code wfl_txn_delete(struct wfl_txn *t, enum wfl_space space, wfl_slice key, wfl_error *err)
{
    return t->ops->remove(t, space, key, err);
}
