package wire

// Stat is PAgentStat: what an agent measured of its process in one interval.
// Which parts were sent is told by Has.
type Stat struct {
	Time, Interval int64 // ms
	Has            StatParts

	HeapUsed, HeapMax, NonHeapUsed, NonHeapMax int64
	GCOldCount, GCOldTime                      int64 // ms
	GCNewCount, GCNewTime                      int64
	// Pools are ratios of use: code cache, new, old, survivor, permanent
	// generation, metaspace.
	Pools [6]float64

	CPUProcess, CPUSystem float64
	// Transactions by kind: sampled new, sampled continued, unsampled new,
	// unsampled continued, skipped new, skipped continued.
	Transactions [6]int64
	// Active are requests in work by age: fast, normal, slow, very slow.
	Active       []int32
	ActiveSchema int32
	Sources      []DataSource
	RespAvg      int64
	RespMax      int64
	Deadlocks    int64
	OpenFiles    int64
	DirectCount  int64
	DirectUsed   int64
	MappedCount  int64
	MappedUsed   int64
	Threads      int64
	Loaded       int64
	Unloaded     int64
}

// StatParts is a set of the parts of a Stat.
type StatParts uint16

// Parts.
const (
	HasGC StatParts = 1 << iota
	HasGCDetail
	HasCPU
	HasTransactions
	HasActive
	HasResponse
	HasDeadlock
	HasFiles
	HasBuffers
	HasThreads
	HasClasses
)

// DataSource is PDataSource: one connection pool.
type DataSource struct {
	ID, ServiceType   int32
	Database, URL     string
	Active, MaxActive int32
}

// URIStat is PEachUriStat: the calls of one URI in one interval.
type URIStat struct {
	URI           string
	Time          int64
	BucketVersion int32
	Total, Failed Histogram
}

// Histogram is PUriHistogram: totals in ms, and counts below 100, 300, 500, 1000,
// 3000, 5000, 8000 ms and above.
type Histogram struct {
	Total, Max int64
	Buckets    []int32
}

// Limits of one message.
const (
	maxSources = 1000
	maxURIs    = 5000
	maxBuckets = 64
)

// DecodeStats reads a PStatMessage and gives what is in it.
func DecodeStats(msg []byte, stat func(*Stat), uri func(*URIStat)) error {
	f := fields{s: string(msg)}
	for f.next() {
		switch f.num {
		case 1:
			in := f.inner()
			in.stat(stat)
			f.merge(&in)
		case 2:
			in := f.inner()
			for in.next() {
				if in.num == 1 {
					one := in.inner()
					one.stat(stat)
					in.merge(&one)
				}
			}
			f.merge(&in)
		case 3:
			in := f.inner()
			in.uris(uri)
			f.merge(&in)
		}
	}
	return f.err()
}

func (f *fields) stat(give func(*Stat)) {
	s := &Stat{}
	for f.next() {
		switch f.num {
		case 1:
			s.Time = f.int64()
		case 2:
			s.Interval = f.int64()
		case 3:
			s.Has |= HasGC
			f.each(func(in *fields) {
				switch in.num {
				case 2:
					s.HeapUsed = in.int64()
				case 3:
					s.HeapMax = in.int64()
				case 4:
					s.NonHeapUsed = in.int64()
				case 5:
					s.NonHeapMax = in.int64()
				case 6:
					s.GCOldCount = in.int64()
				case 7:
					s.GCOldTime = in.int64()
				case 8:
					s.Has |= HasGCDetail
					in.each(func(d *fields) {
						switch {
						case d.num == 1:
							s.GCNewCount = d.int64()
						case d.num == 2:
							s.GCNewTime = d.int64()
						case d.num <= 8:
							s.Pools[d.num-3] = d.double()
						}
					})
				}
			})
		case 4:
			s.Has |= HasCPU
			f.each(func(in *fields) {
				switch in.num {
				case 1:
					s.CPUProcess = in.double()
				case 2:
					s.CPUSystem = in.double()
				}
			})
		case 5:
			s.Has |= HasTransactions
			f.each(func(in *fields) {
				if in.num >= 2 && in.num <= 7 {
					s.Transactions[in.num-2] = in.int64()
				}
			})
		case 6:
			s.Has |= HasActive
			f.each(func(in *fields) {
				if in.num != 1 {
					return
				}
				in.each(func(h *fields) {
					switch h.num {
					case 2:
						s.ActiveSchema = h.int32()
					case 3:
						if len(s.Active) < maxBuckets {
							s.Active = h.ints(s.Active)
						}
					}
				})
			})
		case 7:
			f.each(func(in *fields) {
				if in.num != 1 || len(s.Sources) >= maxSources {
					return
				}
				var d DataSource
				in.each(func(x *fields) {
					switch x.num {
					case 1:
						d.ID = x.int32()
					case 2:
						d.ServiceType = x.int32()
					case 3:
						d.Database = x.str()
					case 4:
						d.URL = x.str()
					case 5:
						d.Active = x.int32()
					case 6:
						d.MaxActive = x.int32()
					}
				})
				s.Sources = append(s.Sources, d)
			})
		case 8:
			s.Has |= HasResponse
			f.pair(&s.RespAvg, &s.RespMax)
		case 9:
			s.Has |= HasDeadlock
			f.pair(&s.Deadlocks)
		case 10:
			s.Has |= HasFiles
			f.pair(&s.OpenFiles)
		case 11:
			s.Has |= HasBuffers
			f.pair(&s.DirectCount, &s.DirectUsed, &s.MappedCount, &s.MappedUsed)
		case 13:
			s.Has |= HasThreads
			f.pair(&s.Threads)
		case 14:
			s.Has |= HasClasses
			f.pair(&s.Loaded, &s.Unloaded)
		}
	}
	if !f.bad {
		give(s)
	}
}

// each goes through the message in the field in hand.
func (f *fields) each(do func(*fields)) {
	in := f.inner()
	for in.next() {
		do(&in)
	}
	f.merge(&in)
}

// pair reads a message of integers, numbered from 1.
func (f *fields) pair(to ...*int64) {
	f.each(func(in *fields) {
		if int(in.num) <= len(to) {
			*to[in.num-1] = in.int64()
		}
	})
}

func (f *fields) uris(give func(*URIStat)) {
	var all []URIStat
	bucket := int32(0)
	for f.next() {
		switch f.num {
		case 1:
			bucket = f.int32()
		case 2:
			if len(all) >= maxURIs {
				continue
			}
			var u URIStat
			f.each(func(in *fields) {
				switch in.num {
				case 1:
					u.URI = in.str()
				case 2:
					u.Total = in.histogram()
				case 3:
					u.Failed = in.histogram()
				case 4:
					u.Time = in.int64()
				}
			})
			all = append(all, u)
		}
	}
	if f.bad {
		return
	}
	for i := range all {
		all[i].BucketVersion = bucket
		give(&all[i])
	}
}

func (f *fields) histogram() (h Histogram) {
	f.each(func(in *fields) {
		switch in.num {
		case 1:
			h.Total = in.int64()
		case 2:
			h.Max = in.int64()
		case 3:
			if len(h.Buckets) < maxBuckets {
				h.Buckets = in.ints(h.Buckets)
			}
		}
	})
	return h
}
