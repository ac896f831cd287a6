package fsim

// Sync makes the file durable, or the names in a directory, as far as the
// disk's profile promises it. It works on handles that are open for reading
// only. Where an earlier sync of the same file failed and this handle was open
// at that time, it gives the error once (errseq in lib/errseq.c of Linux).
func (f *File) Sync() error { return f.sync(CallSync, opFsync) }

// SyncData makes the data of the file durable and, where it is needed to read
// them back, the size. See [SyncDataer].
func (f *File) SyncData() error { return f.sync(CallSyncData, opFdatasync) }

func (f *File) sync(k CallKind, o opKind) error {
	var c cmd
	f.begin(&c, k, false)
	if c.run() {
		d := f.v.d
		switch {
		case d.aborted:
			c.err = errReadOnly
		case c.hit.failsSync():
			c.err = d.failSync(f.i, c.hit.fault)
			f.errSeen, f.i.errUnseen = f.i.errSeq, false
		case f.errSeen != f.i.errSeq:
			f.errSeen, f.i.errUnseen = f.i.errSeq, false
			c.err = errIO
		case c.hit.lies():
		default:
			f.i.dirty = nil
			d.emit(&op{kind: o, ino: f.i.ino})
		}
	}
	return c.end("sync")
}
