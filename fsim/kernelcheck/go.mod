module github.com/understudy-go/understudy/fsim/kernelcheck

go 1.25.0

require (
	github.com/hanwen/go-fuse/v2 v2.8.0
	github.com/spf13/afero v1.15.0
	github.com/understudy-go/understudy v0.0.0
	golang.org/x/sys v0.36.0
)

require golang.org/x/text v0.28.0 // indirect

replace github.com/understudy-go/understudy => ../..
