package sqltext

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/hopscope/hopscope/internal/l7"
)

// show is what was read of a statement, on one line.
func show(m *l7.Message) string {
	s := m.Op + " | " + m.Target + " | " + m.Route
	if m.Name != "" {
		s += " | " + m.Name
	}
	if t := &m.Trace; !t.Empty() {
		s += " | " + t.Format + " " + t.TraceID + " " + t.SpanID + " " + t.RequestID
	}
	return s
}

func read(d Dialect, opt *l7.Options, stmt string) *l7.Message {
	m := &l7.Message{Text: new(l7.Text)}
	ReadAs(d, opt, []byte(stmt), m)
	return m
}

const w3c = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
const gotW3C = " | w3c 4bf92f3577b34da6a3ce929d0e0e4736 00f067aa0ba902b7 "

var cases = []struct {
	d    Dialect
	stmt string
	want string
}{
	{Tolerant, "select * from users where id = 42 and name = 'Bob O''Brien'", "SELECT | select * from users where id = ? and name = ? | users"},
	{Tolerant, "SELECT 1", "SELECT | SELECT ? | "},
	{Tolerant, "  \n BEGIN ;  ", "BEGIN | BEGIN | "},
	{Tolerant, "insert into `shop`.`orders` (a,b) values (1,'x'), (2, 'y'),(3,-4.5e-3)", "INSERT | insert into `shop`.`orders` (a,b) values (?) | shop.orders"},
	{Tolerant, "INSERT INTO t VALUES (1, NULL, 2)", "INSERT | INSERT INTO t VALUES (?, NULL, ?) | t"},
	{Tolerant, "update accounts set balance=balance-10, n = n - 1 where id in (1, 2,3 ,4)", "UPDATE | update accounts set balance=balance-?, n = n - ? where id in (?) | accounts"},
	{Tolerant, "DELETE FROM sessions WHERE token='a\\'b' OR x=0xDEADbeef OR y=.5", "DELETE | DELETE FROM sessions WHERE token=? OR x=? OR y=? | sessions"},
	{Tolerant, "SELECT o.id FROM orders o, customers AS c LEFT JOIN items i ON i.o=o.id WHERE c.id=7", "SELECT | SELECT o.id FROM orders o, customers AS c LEFT JOIN items i ON i.o=o.id WHERE c.id=? |  | SELECT orders customers items"},
	{Tolerant, "SELECT a FROM (SELECT b FROM inner_t WHERE x = 'y') AS d WHERE EXTRACT(YEAR FROM ts) = 2020", "SELECT | SELECT a FROM (SELECT b FROM inner_t WHERE x = ?) AS d WHERE EXTRACT(YEAR FROM ts) = ? | inner_t"},
	{Tolerant, "with x as (select id from big), y (n) as (select 1) select * from x join y", "SELECT | with x as (select id from big), y (n) as (select ?) select * from x join y |  | SELECT big y"},
	{Tolerant, "SELECT * FROM generate_series(1,10), t2", "SELECT | SELECT * FROM generate_series(?), t2 | t2"},
	{Tolerant, "SELECT c FROM t WHERE a IS DISTINCT FROM b", "SELECT | SELECT c FROM t WHERE a IS DISTINCT FROM b | t"},
	{Tolerant, "SELECT id FROM q WHERE s='new' FOR UPDATE", "SELECT | SELECT id FROM q WHERE s=? FOR UPDATE | q"},
	{Tolerant, "INSERT INTO c (k,v) VALUES ('a',1) ON DUPLICATE KEY UPDATE v=v+1", "INSERT | INSERT INTO c (k,v) VALUES (?) ON DUPLICATE KEY UPDATE v=v+? | c"},
	{Tolerant, "CREATE TABLE IF NOT EXISTS foo (id int)", "CREATE | CREATE TABLE IF NOT EXISTS foo (id int) | foo"},
	{Tolerant, "drop table a, b", "DROP | drop table a, b | a"},
	{Tolerant, "TRUNCATE logs", "TRUNCATE | TRUNCATE logs | logs"},
	{Tolerant, "CREATE INDEX i ON t (c)", "CREATE | CREATE INDEX i ON t (c) | t"},
	{Tolerant, "CALL pay.charge(12, 'card')", "CALL | CALL pay.charge(?) |  | CALL pay.charge"},
	{Tolerant, "SET NAMES 'utf8mb4'", "SET | SET NAMES ? | "},
	{Tolerant, "EXPLAIN SELECT * FROM t", "EXPLAIN | EXPLAIN SELECT * FROM t | t"},
	{Tolerant, "SELECT * FROM a JOIN b JOIN c JOIN d JOIN e JOIN a", "SELECT | SELECT * FROM a JOIN b JOIN c JOIN d JOIN e JOIN a |  | SELECT a b c d ..."},
	{Tolerant, "select $1, $2::text from t where a=$3 and b in ($4,$5)", "SELECT | select $1, $2::text from t where a=$3 and b in (?) | t"},
	{Tolerant, "select ? from t where b in (?, ?)", "SELECT | select ? from t where b in (?) | t"},
	{Tolerant, "select $$it's secret$$, $x$a $$ b$x$ from t", "SELECT | select ?, ? from t | t"},
	{Tolerant, `select "secret" from "Users"`, `SELECT | select ? from "Users" | Users`},
	{Tolerant, `select "u"."id" from "u"`, `SELECT | select "u"."id" from "u" | u`},
	{Tolerant, "SELECT data #>> '{a}' FROM j", "SELECT | SELECT data #>> ? FROM j | j"},
	{Tolerant, "SELECT N'x', E'a\\'b', X'ff', _utf8'z', q'[it's]' FROM t", "SELECT | SELECT ?, ?, ?, ?, ? FROM t | t"},
	{Standard, `SELECT 'C:\', "col" FROM "s"."T" WHERE x = E'\'' -- secret`, `SELECT | SELECT ?, "col" FROM "s"."T" WHERE x = ? | s.T`},
	{Standard, "SELECT [a b] FROM [dbo].[My Table] WHERE c = N'é'", "SELECT | SELECT [a b] FROM [dbo].[My Table] WHERE c = ? | dbo.My Table"},
	{Standard, "SELECT * FROM #tmp WHERE a[1] = 2", "SELECT | SELECT * FROM #tmp WHERE a[?] = ? | #tmp"},
	{Standard, "SELECT /* a /* nested */ b */ 1 FROM dual", "SELECT | SELECT ? FROM dual | "},
	{MySQL, "SELECT 5--3, a$b FROM t # tail", "SELECT | SELECT ?-?, a$b FROM t | t"},
	{MySQL, "/*!40101 SET NAMES utf8 */", "SET | SET NAMES utf8 | "},
	{MySQL, "/*! SELECT 'x' */ FROM t", "SELECT | SELECT ? FROM t | t"},
	{Tolerant, "/* traceparent: " + w3c + " */ SELECT 1", "SELECT | SELECT ? | " + gotW3C},
	{Tolerant, "SELECT /*traceparent=" + w3c + "*/ a FROM t", "SELECT | SELECT a FROM t | t" + gotW3C},
	{Tolerant, "SELECT a FROM t -- traceparent: " + w3c + "\nWHERE b=1", "SELECT | SELECT a FROM t WHERE b=? | t" + gotW3C},
	{Tolerant, "SELECT a FROM t # x-request-id: r-17, traceparent: " + w3c, "SELECT | SELECT a FROM t | t" + gotW3C + "r-17"},
	{Tolerant, "SELECT a FROM t /*action='%2Fparam*d',controller='index',traceparent='" + w3c + "',tracestate='congo%3Dt61rcWkgMzE%2Crojo%3D00f067aa0ba902b7'*/", "SELECT | SELECT a FROM t | t" + gotW3C},
	{Tolerant, "SELECT a /* uber-trace-id='4bf92f3577b34da6%3A00f067aa0ba902b7%3A0%3A1' */ FROM t", "SELECT | SELECT a FROM t | t | jaeger 4bf92f3577b34da6 00f067aa0ba902b7 "},
	{Tolerant, "SELECT a /* uber-trace-id: 4bf92f3577b34da6:00f067aa0ba902b7:0:1 */ FROM t", "SELECT | SELECT a FROM t | t | jaeger 4bf92f3577b34da6 00f067aa0ba902b7 "},
	{Tolerant, "SELECT '/* traceparent: " + w3c + " */'", "SELECT | SELECT ? | "},
	{Tolerant, "SELECT a FROM t WHERE n = 'cut off here", "SELECT | SELECT a FROM t WHERE n = ? | t"},
	{Tolerant, "SELECT a FROM t /* traceparent='00-4bf92f", "SELECT | SELECT a FROM t | t"},
	{Tolerant, "", " |  | "},
	{Tolerant, "(SELECT a FROM x) UNION (SELECT b FROM y)", "SELECT | (SELECT a FROM x) UNION (SELECT b FROM y) |  | SELECT x y"},
	{Tolerant, "UPDATE a, b SET a.x=1 WHERE a.id=b.id", "UPDATE | UPDATE a, b SET a.x=? WHERE a.id=b.id |  | UPDATE a b"},
	{Tolerant, "select @@version, @x, :name, 1.5", "SELECT | select @@version, @x, :name, ? | "},
	{Tolerant, "select -1, +2, 3 - 4, (5)-6", "SELECT | select -?, ?, ? - ?, (?)-? | "},
	{Tolerant, "CREATE USER 'x'@'%' IDENTIFIED BY 'pw'", "CREATE | CREATE USER ?@? IDENTIFIED BY ? | "},
	{Tolerant, "INSERT INTO a SELECT * FROM b", "INSERT | INSERT INTO a SELECT * FROM b |  | INSERT a b"},
	{Tolerant, "SHOW TABLES FROM shop", "SHOW | SHOW TABLES FROM shop | "},
	{Tolerant, "MERGE INTO t USING s ON (t.id=s.id) WHEN MATCHED THEN UPDATE SET x=1", "MERGE | MERGE INTO t USING s ON (t.id=s.id) WHEN MATCHED THEN UPDATE SET x=? |  | MERGE t s"},
	{Tolerant, "select a.from, b from t where x.select = 1", "SELECT | select a.from, b from t where x.select = ? | t"},
	{Tolerant, "COPY t (a, b) FROM STDIN", "COPY | COPY t (a, b) FROM STDIN | t"},
	{Tolerant, "FooBar 1", "FOOBAR | FooBar ? | "},
	{Tolerant, "sp_who2 1", " | sp_who2 ? | "},
	{Tolerant, "select 1; delete from x where a=2;", "SELECT | select ?; delete from x where a=? | x"},
	{Tolerant, "SELECT date '2020-01-01', interval '1' day", "SELECT | SELECT date ?, interval ? day | "},
}

func TestRead(t *testing.T) {
	opt := l7.DefaultOptions()
	for _, c := range cases {
		if got := show(read(c.d, opt, c.stmt)); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.stmt, got, c.want)
		}
	}
}

func TestKeepLiterals(t *testing.T) {
	opt := l7.DefaultOptions()
	opt.KeepLiterals = true
	got := show(read(Tolerant, opt, "SELECT a,  'b' /* c */ FROM t WHERE d IN (1,2)"))
	if want := "SELECT | SELECT a, 'b' FROM t WHERE d IN (1,2) | t"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestLimits(t *testing.T) {
	opt := l7.DefaultOptions()
	opt.MaxText = 20
	m := read(Tolerant, opt, "SELECT ééééééééééééééé FROM t -- x-request-id=r1")
	if len(m.Target) > 20 || !utf8.ValidString(m.Target) || m.Route != "t" || m.Trace.RequestID != "r1" {
		t.Errorf("got %q", show(m))
	}
	opt = l7.DefaultOptions()
	long := "SELECT a FROM t WHERE b IN (" + strings.Repeat("1, ", 10000) + "2) AND c=3"
	if m := read(Tolerant, opt, long); m.Target != "SELECT a FROM t WHERE b IN (?) AND c=?" {
		t.Errorf("got %q", m.Target)
	}
	deep := strings.Repeat("SELECT a FROM (", 5000) + "SELECT b FROM t" + strings.Repeat(")", 6000)
	if m := read(Tolerant, opt, deep); m.Route != "t" || len(m.Target) > 2048 {
		t.Errorf("got %q", show(m))
	}
}

// TestNoLeak: what is between quotes never shows, wherever the statement is cut.
func TestNoLeak(t *testing.T) {
	opt := l7.DefaultOptions()
	for _, c := range []struct {
		d    Dialect
		stmt string
	}{
		{MySQL, `insert into t values ('SECRET\'SECRET', "SECRET", 'SECRET''SECRET') /* SECRET */ on x # SECRET`},
		{Standard, `insert into t values ('SECRET\', E'SECRET\'SECRET', $$SECRET$$, $a$SECRET$SECRET$a$, 'SECRET') -- SECRET`},
		{Tolerant, `insert into t values ('SECRET', N'SECRET', 'SECRET\'SECRET', q'{SECRET'SECRET}') -- SECRET`},
	} {
		for n := range len(c.stmt) + 1 {
			m := read(c.d, opt, c.stmt[:n])
			if strings.Contains(m.Target+m.Name+m.Route, "SECRET") {
				t.Fatalf("%q gives %s", c.stmt[:n], show(m))
			}
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, c := range cases {
		f.Add(uint8(c.d), c.stmt)
	}
	opt := l7.DefaultOptions()
	keep := l7.DefaultOptions()
	keep.KeepLiterals, keep.MaxText = true, 64
	f.Fuzz(func(t *testing.T, d uint8, stmt string) {
		m := read(Dialect(d%3), opt, stmt)
		if len(m.Target) > len(stmt) || len(m.Target) > opt.MaxText {
			t.Fatalf("grew: %q", m.Target)
		}
		if utf8.ValidString(stmt) && !utf8.ValidString(m.Target) {
			t.Fatalf("broke a rune: %q", m.Target)
		}
		read(Dialect(d%3), keep, stmt)
	})
}

func bench(b *testing.B, stmt string) {
	opt := l7.DefaultOptions()
	m := l7.Message{Text: new(l7.Text)}
	src := []byte(stmt)
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	for b.Loop() {
		m.Reset()
		Read(opt, src, &m)
	}
}

func BenchmarkShort(b *testing.B) { bench(b, "SELECT c FROM sbtest1 WHERE id=5001") }
func BenchmarkTypical(b *testing.B) {
	bench(b, "SELECT o.id, o.total, c.name FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.state = 'paid' AND o.created > '2026-01-01' ORDER BY o.created DESC LIMIT 20")
}
func BenchmarkInsert(b *testing.B) {
	bench(b, "INSERT INTO sbtest1 (id, k, c, pad) VALUES (0, 4992833, '83868641912-28773972837-60736120486-75162659906-27563526494-20381887404-41576422241-93426793964-56405065102-33518432330', '67847967377-48000963322-62604785301-91415491898-96926520291')")
}
func BenchmarkComment(b *testing.B) {
	bench(b, "SELECT a FROM t WHERE b=1 /*traceparent='"+w3c+"'*/")
}
func BenchmarkList(b *testing.B) {
	bench(b, "SELECT a FROM t WHERE b IN ("+strings.Repeat("12345, ", 200)+"6)")
}
