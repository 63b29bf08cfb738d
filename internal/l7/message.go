package l7

// Messages are emptied and copied for every message read. Most have few of their
// many fields set, and a pointer that is written costs more than one that is
// looked at while the collector runs: so the fields go one by one, and only
// where there is something. TestMessageFields knows when one is forgotten.

// Reset empties m, keeping Text and the memory of Attrs.
func (m *Message) Reset() {
	m.resetStrings()
	m.Type, m.Flow, m.Status = 0, 0, 0
	m.More, m.Fresh, m.Switch, m.Opaque, m.NoReply = false, false, false, false, false
	m.Continues, m.Timed, m.Silent, m.Over, m.Seals = false, false, false, false, false
	m.Stream, m.Through, m.Batch, m.Note = 0, 0, 0, 0
	m.Attrs = m.Attrs[:0]
}

func (m *Message) resetStrings() {
	if m.As != nil {
		m.As = nil
	}
	if m.Head != nil {
		m.Head = nil
	}
	erase(&m.Op)
	erase(&m.Target)
	erase(&m.Route)
	erase(&m.Name)
	erase(&m.Code)
	erase(&m.Error)
	erase(&m.Domain)
	erase(&m.Version)
	erase(&m.Session)
	erase(&m.Trace.Format)
	erase(&m.Trace.TraceID)
	erase(&m.Trace.SpanID)
	erase(&m.Trace.ParentSpanID)
	erase(&m.Trace.RequestID)
}

// Set makes m, which is empty, a copy of from. Attrs are copied into the memory
// of m's.
func (m *Message) Set(from *Message) {
	m.Type, m.Flow, m.Status = from.Type, from.Flow, from.Status
	m.More, m.Fresh, m.Switch, m.Opaque, m.NoReply = from.More, from.Fresh, from.Switch, from.Opaque, from.NoReply
	m.Continues, m.Timed, m.Silent, m.Over, m.Seals = from.Continues, from.Timed, from.Silent, from.Over, from.Seals
	m.Stream, m.Through, m.Batch, m.Note = from.Stream, from.Through, from.Batch, from.Note
	if from.As != nil {
		m.As = from.As
	}
	if from.Head != nil {
		m.Head = from.Head
	}
	if m.Text != from.Text {
		m.Text = from.Text
	}
	set(&m.Op, from.Op)
	set(&m.Target, from.Target)
	set(&m.Route, from.Route)
	set(&m.Name, from.Name)
	set(&m.Code, from.Code)
	set(&m.Error, from.Error)
	set(&m.Domain, from.Domain)
	set(&m.Version, from.Version)
	set(&m.Session, from.Session)
	set(&m.Trace.Format, from.Trace.Format)
	set(&m.Trace.TraceID, from.Trace.TraceID)
	set(&m.Trace.SpanID, from.Trace.SpanID)
	set(&m.Trace.ParentSpanID, from.Trace.ParentSpanID)
	set(&m.Trace.RequestID, from.Trace.RequestID)
	m.Attrs = append(m.Attrs[:0], from.Attrs...)
}

func erase(s *string) {
	if *s != "" {
		*s = ""
	}
}

func set(to *string, v string) {
	if v != "" {
		*to = v
	}
}
