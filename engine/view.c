/* SPDX-License-Identifier: Apache-2.0
 *
 * Views and their iterators, the same for every engine: the engine gives a moment and positions in
 * it, and here is the walking. An iterator never passes its bound. */
#include "engine/engine_private.h"

#include <assert.h>

wfl_code wfl_view_open(struct wfl_engine *e, struct wfl_view **out, wfl_error *err)
{
    *out = NULL;
    return e->ops->view_open(e, out, err);
}

void wfl_view_close(struct wfl_view *v)
{
    if (v != NULL) v->engine->ops->view_close(v);
}

wfl_code wfl_view_iter(struct wfl_view *v, enum wfl_space space, wfl_slice to,
                       struct wfl_iter **out, wfl_error *err)
{
    wfl_code rc = v->engine->ops->iter_open(v, space, to, out, err);

    if (rc == WFL_OK) (*out)->to = to;
    return rc;
}

void wfl_iter_close(struct wfl_iter *it)
{
    if (it != NULL) it->close(it);
}

void wfl_iter_seek(struct wfl_iter *it, wfl_slice key)
{
    it->ops->seek(it->at, key);
}

/* The engines' positions may stand at or behind the bound; an iterator does not. */
void wfl_iter_seek_last(struct wfl_iter *it, wfl_slice key)
{
    if (it->to.len > 0 && (key.len == 0 || wfl_slice_cmp(key, it->to) > 0)) key = it->to;
    it->ops->seek_last(it->at, key);
    while (it->to.len > 0 && it->ops->valid(it->at) && wfl_slice_cmp(wfl_iter_key(it), it->to) >= 0)
        it->ops->step(it->at, true);
}

void wfl_iter_step(struct wfl_iter *it, bool back)
{
    it->ops->step(it->at, back);
}

bool wfl_iter_valid(struct wfl_iter *it)
{
    if (!it->ops->valid(it->at)) return false;
    return it->to.len == 0 || wfl_slice_cmp(wfl_iter_key(it), it->to) < 0;
}

wfl_slice wfl_iter_key(struct wfl_iter *it)
{
    wfl_slice key, value;

    it->ops->read(it->at, &key, &value);
    return key;
}

wfl_slice wfl_iter_value(struct wfl_iter *it)
{
    wfl_slice key, value;

    it->ops->read(it->at, &key, &value);
    return value;
}

wfl_code wfl_iter_status(struct wfl_iter *it, wfl_error *err)
{
    return it->ops->status(it->at, err);
}
