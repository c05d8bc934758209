/* SPDX-License-Identifier: Apache-2.0
 *
 * SIGHUP: what may change while the server runs is read again. Flags, environment and file are gone
 * through as at the start, and where anything is wrong the line says so and what serves goes on
 * serving. Roots hold from the next request on, open sessions and streams included; limits of the
 * network for connections that come from now on; the certificate likewise; the audit log's file is
 * opened anew. For the rest a line names what would take a new start. */
#include "server/server.h"

static void reload_roots(struct wfl_server *s, const struct wfl_config *fresh)
{
    wfl_public_key roots[WFL_CONFIG_ROOTS_MAX];
    wfl_error      err = {0};
    wfl_code       rc = server_read_roots(fresh, roots, &err);

    if (rc == WFL_OK) rc = wfl_auth_set_roots(s->auth, roots, fresh->root_count, &err);
    if (rc != WFL_OK) {
        wfl_log_text(s->log, WFL_LOG_ERROR, "reload_failed", "the roots in use stay: %s",
                     err.message);
        return;
    }
    watch_hub_recheck(s->watches);
    wfl_log_text(s->log, WFL_LOG_INFO, "roots", "%u trusted", fresh->root_count);
}

static void reload_limits(struct wfl_server *s, const struct wfl_config *fresh)
{
    struct wfl_net_limits limits = server_net_limits(fresh);
    wfl_error             err = {0};

    if (wfl_net_set_limits(s->net, &limits, &err) != WFL_OK)
        wfl_log_text(s->log, WFL_LOG_ERROR, "reload_failed", "the limits in use stay: %s",
                     err.message);
}

static void tell_rest(struct wfl_server *s, const struct wfl_config *fresh)
{
    const char *name;

    for (size_t at = 0; (name = wfl_config_difference(s->config, fresh, &at)) != NULL;)
        wfl_log_text(s->log, WFL_LOG_WARN, "reload_needs_restart",
                     "%s has changed and holds from the next start on", name);
}

void wfl_server_reload(struct wfl_server *s, int argc, char **argv, char *const *env)
{
    struct wfl_config fresh;
    wfl_error         err = {0};

    certificate_reload(s);
    audit_reopen(s->audit);
    if (wfl_config_load(argc, argv, env, &fresh, &err) == WFL_CONFIG_SERVE) {
        reload_roots(s, &fresh);
        reload_limits(s, &fresh);
        tell_rest(s, &fresh);
    } else {
        wfl_log_text(s->log, WFL_LOG_ERROR, "reload_failed", "settings in use stay: %s",
                     err.message);
    }
    wfl_config_fini(&fresh);
    wfl_log_text(s->log, WFL_LOG_INFO, "reloaded", "what could be read holds");
}
