/* kv_report.h: what the KV cache did, in a line for people and as JSON. */
#ifndef CLI_KV_REPORT_H
#define CLI_KV_REPORT_H

#include <jansson.h>

#include "ashlar.h"
#include "base/buf.h"

/** "kvswap 39.1 MiB: G 8, M 50, ...; read 1.2 GiB, hits 81 %, ...": no newline. */
void kv_report_line(const ashlar_engine *engine, struct buf *out);

/** The counters as an object; NULL when memory ran out. */
json_t *kv_report_json(const ashlar_engine *engine);

#endif
