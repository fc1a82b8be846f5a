// Package db keeps what the bridge knows: fans and their identities, signing
// keys and revocations.
//
// The interfaces ([FanStore], [KeyStore], [RevocationStore], together [Store])
// say what a store does; [Open] gives the one for a URL. Every method answers
// once its work is on disk, or with an error: a registration that was
// answered survives a crash of the process or of the machine.
//
// Where to look:
//
//	fan.go         fans, identities, logins and the promises of FanStore
//	link.go        the rules: what a login changes, who is merged with whom
//	login.go       SaveLogin, the one transaction that applies them
//	fans.go        the other reads and writes of fans
//	access.go      what operators do: list, block, change roles
//	members.go     what WeCom says of the members of a corp
//	fanlinks.go    fans whom an operator links, and parts again
//	push.go        WeChat's pushes, each taken once
//	keys.go, revocation.go
//	outbox.go      events, and who is told
//	fanevents.go   the events of fans
//	delivery.go    deliveries of events: order, claims, retries
//	outboxfans.go  events of fans who are merged or erased
//	store.go       Open and the errors
//	sqlite.go      connections and their settings
//	writer.go      one writer, many callers: group commit
//	checkpoint.go  keeps the write-ahead log short beside the writer
//	statement.go   rows and statements, of the pool and of the writer
//	migrate.go     the schema, migrations/*.sql
//
// Package dbtest holds the suite every engine passes.
package db
