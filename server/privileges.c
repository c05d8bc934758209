/* SPDX-License-Identifier: Apache-2.0 */
#include "server/privileges.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define PASSWD_BYTES 16384

static wfl_code look_up(const char *user, uid_t *uid, gid_t *gid, wfl_error *err)
{
    char          text[PASSWD_BYTES];
    struct passwd entry, *found = NULL;
    int           rc = getpwnam_r(user, &entry, text, sizeof text, &found);

    if (rc != 0) return wfl_fail(err, WFL_IO, "setting user, %s: %s", user, strerror(rc));
    if (found == NULL) {
        return wfl_fail(err, WFL_INVALID_SETTING,
                        "setting user: there is no '%s' here; make one with useradd --system",
                        user);
    }
    if (found->pw_uid == 0)
        return wfl_fail(err, WFL_INVALID_SETTING, "setting user: %s is root itself", user);
    *uid = found->pw_uid;
    *gid = found->pw_gid;
    return WFL_OK;
}

static wfl_code become(const char *user, uid_t uid, gid_t gid, wfl_error *err)
{
    if (geteuid() == uid) return WFL_OK;
    if (geteuid() != 0) {
        return wfl_fail(err, WFL_INVALID_SETTING,
                        "setting user: only root can become %s; start as that user, or without it",
                        user);
    }
    if (initgroups(user, gid) != 0 || setresgid(gid, gid, gid) != 0 ||
        setresuid(uid, uid, uid) != 0) {
        return wfl_fail(err, WFL_IO, "becoming %s: %s", user, strerror(errno));
    }
    if (setresuid(0, 0, 0) == 0 || geteuid() != uid || getegid() != gid)
        return wfl_fail(err, WFL_IO, "becoming %s: root's rights are still there", user);
    (void)prctl(PR_SET_DUMPABLE, 0); /* changing users sets it anew */
    return WFL_OK;
}

static wfl_code make_folder(const char *data, bool given_away, uid_t uid, gid_t gid, wfl_error *err)
{
    if (mkdir(data, 0700) != 0)
        return errno == EEXIST ? WFL_OK
                               : wfl_fail(err, WFL_IO, "data folder %s: %s", data, strerror(errno));
    if (given_away && geteuid() == 0 && chown(data, uid, gid) != 0)
        return wfl_fail(err, WFL_IO, "data folder %s: %s", data, strerror(errno));
    return WFL_OK;
}

/* Everything in it is made for its owner alone (umask); a wider folder still tells names. */
static wfl_code close_folder(const char *data, struct wfl_privileges *out, wfl_error *err)
{
    struct stat st;

    if (stat(data, &st) != 0)
        return wfl_fail(err, WFL_IO, "data folder %s: %s", data, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return wfl_fail(err, WFL_IO, "data folder %s: this is no folder", data);
    if (st.st_uid != geteuid()) {
        return wfl_fail(err, WFL_IO,
                        "data folder %s belongs to another user (%u) than the server's (%u); "
                        "chown -R it, or serve as its owner with --user",
                        data, (unsigned)st.st_uid, (unsigned)geteuid());
    }
    if ((st.st_mode & 077) == 0) return WFL_OK;
    if (chmod(data, 0700) != 0)
        return wfl_fail(err, WFL_IO, "data folder %s: %s", data, strerror(errno));
    out->folder_closed = true;
    return WFL_OK;
}

wfl_code wfl_privileges_drop(const char *user, const char *data, struct wfl_privileges *out,
                             wfl_error *err)
{
    bool     named = user != NULL && *user != '\0';
    uid_t    uid = 0;
    gid_t    gid = 0;
    wfl_code rc = named ? look_up(user, &uid, &gid, err) : WFL_OK;

    *out = (struct wfl_privileges){0};
    if (rc == WFL_OK) rc = make_folder(data, named, uid, gid, err);
    if (rc == WFL_OK && named) rc = become(user, uid, gid, err);
    if (rc == WFL_OK) rc = close_folder(data, out, err);
    out->as_root = geteuid() == 0;
    return rc;
}
