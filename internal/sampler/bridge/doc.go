// Package bridge runs MCP servers that speak on standard input and output, and
// speaks Streamable HTTP for them: with sessions (2025-03-26 to 2025-11-25) and
// stateless (2026-07-28). It frames, addresses and ends; what messages mean it
// does not know, but for the few that say where another message belongs.
//
// # What goes where
//
// A request of a caller goes post -> begin -> the process, and its answer, its
// progress and what else belongs to it come back by the mux to the exchange
// that respond writes. What belongs to no call goes to the only call that runs,
// else to the session's own stream (get), which keeps a bounded number until
// somebody reads it. Where one process serves several callers, their ids and
// progress tokens are replaced by numbers of the mux. A notification that could
// be anybody's then goes to nobody, unless it concerns all.
//
// A request of such a process goes to the session whose calls run, if there is
// one such session, and is refused otherwise: what one caller's call asks is
// nothing for another caller. A call that was cancelled and not answered counts
// for another minute. Once a request had to be refused so, the sessions of that
// process take turns with what may ask: all but lists, ping and the like.
//
// A shared process is told the capabilities of the caller that begins its first
// session. If one comes that can be asked for more, another process is begun,
// which is told those of both; the first ends with its last session. The version
// of the protocol is that of the first session as well: a caller of an older one is
// answered with its own, as it may know no other, and a caller of a newer one with
// that of the process.
//
// # What ends what
//
// A session ends by DELETE, by its process, by the idle timeout, or with the
// bridge. Only requests and answers of the caller count as use, and a call that
// runs and is waited for: an open stream does not. A process of one session ends
// with it; one that is shared stays, if it is the newest; that of the stateless era ends when it was
// idle, and the next request starts another.
//
// A process ends by itself, or its input is closed, then its process group gets
// SIGTERM, then SIGKILL. What it has left behind in groups of its own is known by
// a variable of its environment, and ends the same way. One that has not answered
// initialize in time is ended, and its caller told. What it wrote before it ended is still delivered; then
// its running calls fail and its sessions are gone.
//
// The caller's connection ends a call of the stateless era, and the process is
// told so. It ends none that has a session: the call runs on, its answer is
// dropped, and its id is free when it was answered or cancelled.
//
// SIGTERM ends the bridge when what runs has ended, at the latest after the
// shutdown timeout; meanwhile there are no new sessions.
//
// # What has a bound
//
// A message has one, both ways. From a caller a longer one is refused. From the
// process it is skipped, and the call that it may have answered fails: the one
// that its beginning names, or all that run, if it names none. What waits for a
// process that does not read, or for a caller that does not, is bounded by the
// same number of bytes; then requests are refused and notifications are lost.
// What runs, and what the process asks, is bounded for a process, and for each
// session of one that is shared.
//
// Where as many processes run as may, a new one waits a moment for one that
// ends. If there is none, the session that is idle for the longest time ends for
// it, or the process of the stateless era, if nobody has used it for a minute.
// Lines of standard error are cut.
package bridge
