module github.com/understudy-go/understudy

go 1.25

require (
	github.com/anthdm/hollywood v1.0.5 // indirect
	github.com/fxamacker/cbor/v2 v2.10.0 // indirect
	github.com/spf13/afero v1.15.0 // indirect
	github.com/x448/float16 v0.8.4 // indirect
	golang.org/x/text v0.28.0 // indirect
	pgregory.net/rapid v1.3.0 // indirect
)
