package e2e

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/go-sql-driver/mysql"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/test/rig"
	"github.com/hopscope/hopscope/test/tally"
)

// statementsEnv has the address for TestStatements: this process is not
// captured, so the client is another one.
const statementsEnv = "HOPSCOPE_TEST_STATEMENTS"

const (
	textStatements     = 10_000 // every tenth of them fails
	preparedStatements = 10_000
)

// TestStatements is the client of TestCountMySQL.
func TestStatements(t *testing.T) {
	addr := os.Getenv(statementsEnv)
	if addr == "" {
		t.Skip("only TestCountMySQL runs it")
	}
	db, err := sql.Open("mysql", "root@tcp("+addr+")/")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	var n int
	for i := range textStatements {
		if i%10 == 0 {
			var e *mysql.MySQLError
			if err := db.QueryRow("SELECT x FROM shop.missing").Scan(&n); !errors.As(err, &e) {
				t.Fatalf("statement %d: %v", i, err)
			}
			continue
		}
		if err := db.QueryRow(fmt.Sprintf("SELECT %d + 1", i)).Scan(&n); err != nil || n != i+1 {
			t.Fatalf("statement %d: %d, %v", i, n, err)
		}
	}
	s, err := db.Prepare("SELECT ? + 2")
	if err != nil {
		t.Fatal(err)
	}
	for i := range preparedStatements {
		if err := s.QueryRow(i).Scan(&n); err != nil || n != i+2 {
			t.Fatalf("execution %d: %d, %v", i, n, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestCountMySQL: a span at each end for every statement, text and prepared, and
// errors where there were errors.
func TestCountMySQL(t *testing.T) {
	asRoot(t)
	installed(t, "mariadbd")
	db, err := rig.MariaDB(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Stop()
	c := count(t, func(s ptrace.Span) string {
		return attr(s, "db.operation.name") + " " + attr(s, "db.query.text") + " " + attr(s, "hopscope.response.status")
	}, tally.Roomy, uint16(db.Port))
	client := exec.Command(os.Args[0], "-test.run=^TestStatements$", "-test.v")
	client.Env = append(os.Environ(), statementsEnv+"="+db.Addr())
	if out, err := client.CombinedOutput(); err != nil {
		t.Fatalf("client: %v\n%s", err, out)
	}
	c.Settle()
	t.Logf("spans:\n%slost: %v", c, c.Lost())
	c.Stop()
	const failed = textStatements / 10
	for _, kind := range []string{"Client", "Server"} {
		for key, want := range map[string]int{
			"SELECT SELECT ? + ? ok":                         textStatements - failed + preparedStatements,
			"SELECT SELECT x FROM shop.missing server_error": failed,
			"SELECT":  textStatements + preparedStatements,
			"PREPARE": 1,
			"":        textStatements + preparedStatements + 4, // LOGIN, PREPARE, CLOSE, QUIT
		} {
			if got := c.Total(kind + " " + key); got != want {
				t.Errorf("%s %s: %d spans, want %d", kind, key, got, want)
			}
		}
	}
}
