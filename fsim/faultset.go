package fsim

type Fault struct{}

func (Fault) String() string { return "" }

type hit struct{ fault Fault }

func (h *hit) late() error                      { return nil }
func (h *hit) linger()                          {}
func (h *hit) shorten(b []byte) []byte          { return b }
func (h *hit) shortenNames(b []string) []string { return b }
func (h *hit) shift(o int64) int64              { return o }
func (h *hit) shortWrite() error                { return nil }
func (h *hit) failsSync() bool                  { return false }
func (h *hit) lies() bool                       { return false }

type faultSet struct{}

func (s *faultSet) strike(d *Disk, c *cmd) {}
func (d *Disk) failSync(i *inode, h *hit)  {}
func (d *Disk) writeFor(f *File, c *cmd, b []byte, off int64) (int, error) {
	return d.writeData(f.i, b, off)
}
