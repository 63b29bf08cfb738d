package protocols

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

var transactions = regexp.MustCompile(`number of transactions actually processed: (\d+)`)

// TestPgbench: as many statements as pgbench says it ran, in each mode of the
// protocol.
func TestPgbench(t *testing.T) {
	needs(t, "pgbench")
	db := postgres(t)
	url := fmt.Sprintf("postgres://postgres@%s/postgres?sslmode=disable", db.Addr())
	pgbench := func(args ...string) string {
		t.Helper()
		out, err := exec.Command("pgbench", append(args, url)...).CombinedOutput()
		if err != nil {
			t.Fatalf("pgbench: %v\n%s", err, out)
		}
		return string(out)
	}
	pgbench("-i", "-s", "1", "-q")
	for _, mode := range []string{"simple", "extended", "prepared"} {
		t.Run(mode, func(t *testing.T) {
			c := watch(t, db.Port)
			out := pgbench("-n", "-M", mode, "-c", "2", "-t", "200")
			m := transactions.FindStringSubmatch(out)
			if m == nil {
				t.Fatalf("pgbench says\n%s", out)
			}
			n, _ := strconv.Atoi(m[1])
			// TPC-B: three updates, a select, an insert, in a transaction.
			count{
				"postgresql BEGIN ok":                   n,
				"postgresql UPDATE pgbench_accounts ok": n,
				"postgresql SELECT pgbench_accounts ok": n,
				"postgresql UPDATE pgbench_tellers ok":  n,
				"postgresql UPDATE pgbench_branches ok": n,
				"postgresql INSERT pgbench_history ok":  n,
			}.check(t, c)
		})
	}
}

// TestPostgreSQL: a client library's statements in three modes, a tenth of which
// fail.
func TestPostgreSQL(t *testing.T) {
	needs(t)
	db := postgres(t)
	c := watch(t, db.Port)
	said := client(t, "postgresql", fmt.Sprintf("postgres://postgres@%s/postgres?sslmode=disable", db.Addr()), 200)
	count{
		"postgresql SELECT ok":                 said["SELECT"] + said["batched"],
		"postgresql SELECT 22012 client_error": said["SELECT failed"],
	}.check(t, c)
}

// TestMemcached: hits, misses and refusals.
func TestMemcached(t *testing.T) {
	needs(t, "memcached")
	s := serve(t, "memcached", func(port int) []string {
		return []string{"-u", "root", "-l", "127.0.0.1", "-p", fmt.Sprint(port), "-U", "0"}
	})
	c := watch(t, s.Port)
	said := client(t, "memcached", s.Addr(), 500)
	count{
		"memcached set STORED ok":                  said["set"],
		"memcached gets VALUE ok":                  said["get"],
		"memcached gets END ok":                    said["get miss"],
		"memcached incr CLIENT_ERROR client_error": said["incr failed"],
		"": said["set"] + said["get"] + said["get miss"] + said["incr failed"],
	}.check(t, c)
}

// TestMongoDB: as many commands as the driver had answers to, the failed among
// them.
func TestMongoDB(t *testing.T) {
	needs(t)
	if os.Getenv("TEST_MONGODB") == "" {
		t.Skip("Debian has no MongoDB server; TEST_MONGODB=1 compiles FerretDB, which takes a minute or more")
	}
	server := filepath.Join(t.TempDir(), "ferretdb")
	if out, err := exec.Command("go", "build", "-C", "ferretdb", "-o", server, ".").CombinedOutput(); err != nil {
		t.Fatalf("build FerretDB: %v\n%s", err, out)
	}
	p := port(t, server)
	c := watch(t, p)
	said := client(t, "mongodb", fmt.Sprintf("127.0.0.1:%d", p), 100)
	count{
		"mongodb insert orders ok":    said["insert"] - said["duplicate"],
		"mongodb insert orders 11000": said["duplicate"],
		"mongodb find orders ok":      said["find"],
		"mongodb update orders ok":    said["update"],
		"mongodb gopher":              said["gopher failed"],
	}.check(t, c)
}
