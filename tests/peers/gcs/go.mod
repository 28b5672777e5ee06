module freshet.dev/tests/peers/gcs

go 1.26.0

require github.com/aws/aws-sdk-go-v2 v1.45.1

require github.com/aws/smithy-go v1.28.1 // indirect
