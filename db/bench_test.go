package db_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"wxbridge/db"
)

// BenchmarkSaveLogin measures whole logins, committed with synchronous=FULL.
//
//	go test ./db -run '^$' -bench SaveLogin          every size
//	go test ./db -run '^$' -bench SaveLogin -short   ten thousand rows only
//
// Reported besides the time: logins a second, and the 99th percentile and the
// longest time a caller waited.
func BenchmarkSaveLogin(b *testing.B) {
	urls := make(map[int]string) // by size, made once a run
	dir := b.TempDir()
	for _, kind := range []string{"new", "returning"} {
		b.Run(kind, func(b *testing.B) {
			for _, size := range []struct {
				name string
				rows int
			}{{"10k_rows", 10_000}, {"1M_rows", 1_000_000}} {
				b.Run(size.name, func(b *testing.B) {
					if testing.Short() && size.rows > 10_000 {
						b.Skip("a million rows only without -short")
					}
					if urls[size.rows] == "" {
						urls[size.rows] = seed(b, filepath.Join(dir, size.name+".db"), size.rows)
					}
					for _, callers := range []int{1, 256} {
						b.Run(fmt.Sprintf("%d_callers", callers), func(b *testing.B) {
							benchmarkLogins(b, urls[size.rows], kind == "new", size.rows, callers)
						})
					}
				})
			}
		})
	}
}

// BenchmarkSaveLoginTold is BenchmarkSaveLogin where an endpoint wants to hear of logins: each adds one row.
func BenchmarkSaveLoginTold(b *testing.B) {
	url := seed(b, filepath.Join(b.TempDir(), "told.db"), 10_000)
	for _, wanted := range []string{"nothing", "login"} {
		for _, callers := range []int{1, 256} {
			b.Run(fmt.Sprintf("%s/%d_callers", wanted, callers), func(b *testing.B) {
				store := open(b, url, time.Now)
				if err := store.SetEndpoints(b.Context(), []db.Endpoint{{Name: "shop", Events: []string{wanted}}}); err != nil {
					b.Fatal(err)
				}
				if err := store.Close(); err != nil {
					b.Fatal(err)
				}
				benchmarkLogins(b, url, false, 10_000, callers)
			})
		}
	}
}

func benchmarkLogins(b *testing.B, url string, fresh bool, rows, callers int) {
	store := open(b, url, time.Now)
	run := time.Now().UnixNano()
	sessionKey := bytes.Repeat([]byte{7}, 60)
	var next atomic.Int64
	waits := make([][]time.Duration, callers)
	var group sync.WaitGroup
	b.ResetTimer()
	for caller := range callers {
		group.Go(func() {
			for {
				n := next.Add(1)
				if n > int64(b.N) {
					return
				}
				person := int(uint32(n*2654435761)) % rows // returning fans come in no order
				openID, unionID := seededOpenID(person), seededUnionID(person)
				if fresh {
					openID = fmt.Sprintf("o%08x-new-%x-%d", uint32(n*2654435761), run, n)
					unionID = fmt.Sprintf("u%08x-new-%x-%d", uint32(n*2246822519), run, n)
				}
				start := time.Now()
				_, err := store.SaveLogin(context.Background(), db.Login{Identity: db.Identity{
					Provider: db.ProviderMiniProgram, AppID: "wx0123456789abcdef", OpenID: openID,
					OpenAccount: "default", UnionID: unionID, SessionKeySealed: sessionKey}})
				if err != nil {
					b.Error(err)
					return
				}
				waits[caller] = append(waits[caller], time.Since(start))
			}
		})
	}
	group.Wait()
	b.StopTimer()
	all := slices.Concat(waits...)
	slices.Sort(all)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "logins/s")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(all[len(all)-1].Microseconds())/1000, "max-ms")
}

// Seeded openids and unionids are spread over the whole range, as WeChat's are:
// multiplying by an odd number permutes the 32-bit integers.

func seededOpenID(person int) string {
	return fmt.Sprintf("o%08x-%018d", uint32(person*2654435761), person)
}

func seededUnionID(person int) string {
	return fmt.Sprintf("u%08x-%018d", uint32(person*2246822519), person)
}

// seed fills a new store with fans of one identity each and returns its URL.
func seed(tb testing.TB, path string, rows int) string {
	tb.Helper()
	url := "sqlite://" + path
	if err := open(tb, url, time.Now).Close(); err != nil {
		tb.Fatal(err)
	}
	conn, err := sql.Open("sqlite3", "file:"+path+"?_journal_mode=OFF&_synchronous=OFF&_cache_size=-400000")
	if err != nil {
		tb.Fatal(err)
	}
	defer conn.Close()
	conn.SetMaxOpenConns(1)
	for _, statement := range []string{`
WITH RECURSIVE person (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM person WHERE n + 1 < ?1)
INSERT INTO fans SELECT printf('01900000-0000-7000-8000-%012x', n), '微信用户' || n,
  'https://thirdwx.qlogo.cn/mmopen/vi_32/' || printf('%080d', n) || '/132', '', 'zh_CN', '', 'active',
  1700000000000, 1700000000000, 1700000000000, 1700000000000, 1700000000000, 1700000000000 FROM person`, `
WITH RECURSIVE person (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM person WHERE n + 1 < ?1)
INSERT INTO identities (provider, appid, openid, fan_id, open_account, unionid, scope, subscribed, session_key_sealed,
  user_refresh_token_sealed, user_refresh_expires_at, profile_json, created_at, last_login_at)
SELECT 'mini_program', 'wx0123456789abcdef', printf('o%08x-%018d', n * 2654435761 & 0xffffffff, n),
  printf('01900000-0000-7000-8000-%012x', n), 'default', printf('u%08x-%018d', n * 2246822519 & 0xffffffff, n),
  '', NULL, zeroblob(60), NULL, 0, NULL, 1700000000000, 1700000000000 FROM person`,
	} {
		if _, err := conn.Exec(statement, rows); err != nil {
			tb.Fatal(err)
		}
	}
	syscall.Sync() // so that writing back these rows is over before the clock starts
	return url
}
