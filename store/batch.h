/* SPDX-License-Identifier: Apache-2.0
 *
 * A batch under way: what batch.c has prepared, and batch_apply.c judges and writes. */
#ifndef WFL_STORE_BATCH_H
#define WFL_STORE_BATCH_H

#include "store/history.h"

struct step {               /* one op */
    struct wfl_put put;     /* of a put: encoded, its content ingested where it is large */
    bool           visible; /* of a copy with a version: it could be read when that was asked */

    /* the committer's */
    struct bucket  *b;
    struct counters before;  /* the bucket's, before the batch */
    struct current  current; /* of the key, before the batch */
    struct current  source;  /* of a copy, before the batch */
    wfl_ulid        version;
};

struct batch_run {
    struct wfl_store *store;
    struct wfl_batch *batch;
    struct step      *steps; /* as many as ops */
};

/* Committer; of a wfl_commit whose arg is the run. */
WFL_MUST_USE wfl_code wfl_batch_apply(struct wfl_commit *c, struct wfl_txn *t, wfl_error *err);
/* Committer: what the batch answers, into its transaction. */
WFL_MUST_USE wfl_code wfl_batch_keep(struct batch_run *run, struct wfl_txn *t, wfl_error *err);
/* Committer, of a refusal: what is remembered of it besides the code. err->code, or NOMEM. */
WFL_MUST_USE wfl_code wfl_batch_note(struct batch_run *run, wfl_error *err);

#endif
