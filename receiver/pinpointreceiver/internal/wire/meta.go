package wire

// AgentInfo is PAgentInfo, without what may hold secrets (arguments, libraries).
type AgentInfo struct {
	Hostname, IP, Ports string
	ServiceType, PID    int32
	AgentVersion        string
	VMVersion           string
	ServerInfo          string
	JVMVersion          string
	GC                  int32
	Container           bool
}

// DecodeAgentInfo reads a PAgentInfo.
func DecodeAgentInfo(msg []byte) (a AgentInfo, err error) {
	f := fields{s: string(msg)}
	for f.next() {
		switch f.num {
		case 1:
			a.Hostname = f.str()
		case 2:
			a.IP = f.str()
		case 3:
			a.Ports = f.str()
		case 4:
			a.ServiceType = f.int32()
		case 5:
			a.PID = f.int32()
		case 6:
			a.AgentVersion = f.str()
		case 7:
			a.VMVersion = f.str()
		case 10:
			in := f.inner()
			for in.next() {
				if in.num == 1 {
					a.ServerInfo = in.str()
				}
			}
			f.merge(&in)
		case 11:
			in := f.inner()
			for in.next() {
				switch in.num {
				case 2:
					a.JVMVersion = in.str()
				case 3:
					a.GC = in.int32()
				}
			}
			f.merge(&in)
		case 12:
			a.Container = f.int64() != 0
		}
	}
	return a, f.err()
}

func (f *fields) err() error {
	if f.bad {
		return ErrMessage
	}
	return nil
}

// Meta is PApiMetaData, PSqlMetaData, PSqlUidMetaData or PStringMetaData: a text
// and the number, or the hash, that stands for it.
type Meta struct {
	ID       int32
	UID      string
	Text     string
	Line     int32 // of an API; -1: none
	Type     int32
	Location string
}

// DecodeMeta reads one of the four; uid: the number is a hash.
func DecodeMeta(msg []byte, uid bool) (m Meta, err error) {
	f := fields{s: string(msg)}
	for f.next() {
		switch f.num {
		case 1:
			if uid {
				m.UID = f.str()
			} else {
				m.ID = f.int32()
			}
		case 2:
			m.Text = f.str()
		case 3:
			m.Line = f.int32()
		case 4:
			m.Type = f.int32()
		case 5:
			m.Location = f.str()
		}
	}
	return m, f.err()
}

// ExceptionMeta is PExceptionMetaData.
type ExceptionMeta struct {
	ID         TransactionID
	SpanID     int64
	URI        string
	Exceptions []ChainLink
}

// ChainLink is PException: one exception of a chain of causes.
type ChainLink struct {
	Class, Message string
	Start          int64
	ChainID        int64
	Depth          int32
	Stack          []Frame
}

// Frame is PStackTraceElement.
type Frame struct {
	Class, File, Method string
	Line                int32
}

// Limits of an exception's data.
const (
	maxChain = 100
	maxStack = 1000
)

// DecodeException reads a PExceptionMetaData.
func DecodeException(msg []byte) (m ExceptionMeta, err error) {
	f := fields{s: string(msg)}
	for f.next() {
		switch f.num {
		case 1:
			in := f.inner()
			if len(m.Exceptions) < maxChain {
				m.Exceptions = append(m.Exceptions, in.link())
			}
			f.merge(&in)
		case 2:
			m.ID = f.transaction()
		case 3:
			m.SpanID = f.sfixed64()
		case 4:
			m.URI = f.str()
		}
	}
	return m, f.err()
}

func (f *fields) link() (l ChainLink) {
	for f.next() {
		switch f.num {
		case 1:
			l.Class = f.str()
		case 2:
			l.Message = f.str()
		case 3:
			l.Start = f.int64()
		case 4:
			l.ChainID = f.int64()
		case 5:
			l.Depth = f.int32()
		case 6:
			in := f.inner()
			var e Frame
			for in.next() {
				switch in.num {
				case 1:
					e.Class = in.str()
				case 2:
					e.File = in.str()
				case 3:
					e.Line = in.int32()
				case 4:
					e.Method = in.str()
				}
			}
			f.merge(&in)
			if len(l.Stack) < maxStack {
				l.Stack = append(l.Stack, e)
			}
		}
	}
	return l
}
