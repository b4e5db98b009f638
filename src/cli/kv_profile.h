/* kv_profile.h: the settings that `ashlar tune` wrote, for --kv-profile. */
#ifndef CLI_KV_PROFILE_H
#define CLI_KV_PROFILE_H

#include "ashlar.h"

#define KV_PROFILE_FORMAT "ashlar-kv-profile"
enum { KV_PROFILE_VERSION = 1 };

/**
 * Fill in what the options leave open. Strings set here live as long as the program.
 * Errors: FAILED (cannot read), BAD_INPUT (not a profile; a value out of range: named).
 */
ashlar_status kv_profile_apply(const char *path, ashlar_kv_options *kv, ashlar_error *err);

#endif
