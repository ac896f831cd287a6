module github.com/understudy-go/understudy

go 1.25

require (
	github.com/anthdm/hollywood v1.0.5
	github.com/fxamacker/cbor/v2 v2.10.0
	github.com/spf13/afero v1.15.0
	pgregory.net/rapid v1.3.0
)

require (
	github.com/DataDog/gostackparse v0.7.0 // indirect
	github.com/klauspost/cpuid/v2 v2.0.9 // indirect
	github.com/x448/float16 v0.8.4 // indirect
	github.com/zeebo/xxh3 v1.0.2 // indirect
	golang.org/x/text v0.28.0 // indirect
	google.golang.org/protobuf v1.32.0 // indirect
)
