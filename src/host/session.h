/* session.h - two sides prove a key to each other, then every byte is AEAD
 *
 * A value: bytes in, bytes out, no descriptor and no clock. The connection (net_conn.c) and the
 * blocking client (call.c) both drive it. S = who listens, C = who dials; all integers
 * little-endian:
 *
 *     head  "TUGLINE1"  u8 kind  u8 mode (1 node, 2 psk)  u8 channel  u8 version (1)  4 zero bytes
 *     S->C  hello   node: head, S public Ed25519, S ephemeral X25519, nonce, signature        176
 * bytes psk:  head, S ephemeral X25519, nonce                                      80 C->S  auth
 * node: head, name (64), C ephemeral X25519, signature                      176 psk:  head, C
 * ephemeral X25519, nonce, proof                              112 S->C  accept  head, proof 48
 *
 *   signature of S: over the hello before it. Of C: over BLAKE2b-256(hello, auth before it).
 *   proof of C (psk): BLAKE2b-256 keyed with the psk over ("tug-psk-v1 client", hello, auth before
 * it) keys: BLAKE2b-512 keyed with the psk, if any, over ("tug-session-v1", X25519, hello, auth);
 * from it, with "c2s", "s2c" and "accept", the two directions' keys and the key of S's proof. then
 * records: u32 length n of the text (1..65536), the text under ChaCha20-Poly1305 (IETF) with the
 * length as additional data and the record's number in this direction as nonce, 16 bytes of tag. A
 * gap, a repetition or a bad tag ends the session. Each direction's key is replaced by its hash
 * every 4,096 records.
 *
 * Sources: the scheme of SIGMA (Krawczyk 2003) with static keys known beforehand; RFC 7748, 8032,
 * 8439, 7693. Layer: host.
 */
#ifndef TUG_HOST_SESSION_H
#define TUG_HOST_SESSION_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "host/net.h"

#define TUG_HANDSHAKE_MAX 176   /* bytes of the largest handshake frame */
#define TUG_RECORD_MAX    65536 /* bytes of text in one record */
#define TUG_RECORD_OVER   20    /* what a record adds to its text */

enum tug_side { TUG_SIDE_SERVER, TUG_SIDE_CLIENT };

struct tug_session;

/* 'o' is borrowed until the session is up. Appends what this side says first to 'out'.
 * -EINVAL: the options lack a key, or the mode has no session (TUG_AUTH_UNIX). */
int tug_session_new(struct tug_session **out_session, enum tug_side side,
                    const struct tug_net_opts *o, struct tug_buf *out, struct tug_err *err);
void tug_session_free(struct tug_session *s); /* wipes the keys */
int tug_session_up(const struct tug_session *s);
/* Name that the peer's key belongs to (node mode, listening side); "" else. */
const char *tug_session_peer_name(const struct tug_session *s);

/* Before it is up: where the next bytes from the peer go, and how many are still missing (never
 * more than TUG_HANDSHAKE_MAX). Then say how many came; an answer, if any, is appended to 'out'. 0
 * go on (look at tug_session_up)     -EPROTO, -EACCES   refused: close */
uint8_t *tug_session_room(struct tug_session *s, size_t *missing);
int tug_session_got(struct tug_session *s, size_t n, struct tug_buf *out, struct tug_err *err);

/* Once it is up. Append one record; len 1..TUG_RECORD_MAX. */
void tug_session_seal(struct tug_session *s, struct tug_buf *out, const void *text, size_t len);
/* Open the first record of data[len], in place.
 *   > 0  bytes that it took; *text, *n is what it said   0  more bytes are needed   -EPROTO  close
 */
long tug_session_unseal(struct tug_session *s, uint8_t *data, size_t len, uint8_t **text, size_t *n,
                        struct tug_err *err);

#endif
