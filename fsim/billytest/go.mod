module github.com/understudy-go/understudy/fsim/billytest

go 1.25.0

require (
	github.com/spf13/afero v1.15.0
	github.com/understudy-go/understudy v0.0.0
	gopkg.in/check.v1 v1.0.0-20201130134442-10cb98267c6c
)

require (
	github.com/go-git/go-billy/v5 v5.9.2
	github.com/kr/pretty v0.3.1 // indirect
	github.com/kr/text v0.2.0 // indirect
	github.com/rogpeppe/go-internal v1.14.1 // indirect
	golang.org/x/text v0.39.0 // indirect
)

replace github.com/understudy-go/understudy => ../..
