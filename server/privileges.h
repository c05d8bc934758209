/* SPDX-License-Identifier: Apache-2.0
 *
 * Whose rights the server has. Root is wanted for ports below 1024 and nothing else: with the
 * addresses bound, it becomes the user it was told of, for good, and then makes and opens
 * everything as that user. What it cannot read then it could not read at a reload either. */
#ifndef WFL_SERVER_PRIVILEGES_H
#define WFL_SERVER_PRIVILEGES_H

#include "core/core.h"

struct wfl_privileges {
    bool as_root;       /* still: nobody said as whom else */
    bool folder_closed; /* others could look into the data folder, and no longer can */
};

/* Make the data folder where it is missing, as `user`'s (NULL or empty: whoever we are), become
 * that user, see that the folder is ours alone. Before the second thread. The errors say what to
 * do. INVALID_SETTING, IO. */
WFL_MUST_USE wfl_code wfl_privileges_drop(const char *user, const char *data,
                                          struct wfl_privileges *out, wfl_error *err);

#endif
