package e2e

import (
	"testing"

	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/hopscope/hopscope/test/rig"
	"github.com/hopscope/hopscope/test/tally"
)

// statementCount is how many text statements there are, every tenth of which
// fails, and how many prepared ones.
const statementCount = 10_000

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
	client(t, "statements", db.Addr(), statementCount)
	c.Settle()
	t.Logf("spans:\n%slost: %v", c, c.Lost())
	c.Stop()
	const failed = statementCount / 10
	for _, kind := range []string{"Client", "Server"} {
		for key, want := range map[string]int{
			"SELECT SELECT ? + ? ok":                         2*statementCount - failed,
			"SELECT SELECT x FROM shop.missing server_error": failed,
			"SELECT":  2 * statementCount,
			"PREPARE": 1,
			"":        2*statementCount + 4, // LOGIN, PREPARE, CLOSE, QUIT
		} {
			if got := c.Total(kind + " " + key); got != want {
				t.Errorf("%s %s: %d spans, want %d", kind, key, got, want)
			}
		}
	}
}
