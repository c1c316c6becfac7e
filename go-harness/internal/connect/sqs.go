package connect

import (
	"flag"
	"os"
	"strings"

	configv1 "github.com/RichardKnop/machinery/v1/config"
	configv2 "github.com/RichardKnop/machinery/v2/config"
	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/sqs"
)

// SQS is what the sqs section of Machinery's configuration says.
type SQS struct {
	WaitTime   int
	Visibility int
	HeartBeat  bool
}

func (s *SQS) flags(set *flag.FlagSet) {
	set.IntVar(&s.WaitTime, "sqs-wait", 1, "sqs.receive_wait_time_seconds")
	set.IntVar(&s.Visibility, "sqs-visibility", 0, "sqs.receive_visibility_timeout (0: the queue's own)")
	set.BoolVar(&s.HeartBeat, "sqs-heartbeat", false, "sqs.visibility_hearth_beat (v2 only)")
}

// isSQS says whether a URL is that of an SQS queue's parent.
func isSQS(address string) bool {
	return strings.HasPrefix(address, "https://") || strings.HasPrefix(address, "http://")
}

func (s *SQS) visibility() *int {
	if s.Visibility == 0 {
		return nil
	}
	return &s.Visibility
}

// sqsV1 has a client of its own, since v1's library knows no AWS_ENDPOINT_URL_SQS. It is nil for other brokers.
func (o *Options) sqsV1() (*configv1.SQSConfig, error) {
	if !isSQS(o.Broker) {
		return nil, nil
	}
	config := aws.NewConfig()
	if endpoint := os.Getenv("AWS_ENDPOINT_URL_SQS"); endpoint != "" {
		config = config.WithEndpoint(endpoint)
	}
	opened, err := session.NewSession(config)
	if err != nil {
		return nil, err
	}
	return &configv1.SQSConfig{
		Client:            sqs.New(opened),
		WaitTimeSeconds:   o.SQS.WaitTime,
		VisibilityTimeout: o.SQS.visibility(),
	}, nil
}

func (s *SQS) configV2() *configv2.SQSConfig {
	return &configv2.SQSConfig{
		WaitTimeSeconds:     s.WaitTime,
		VisibilityTimeout:   s.visibility(),
		VisibilityHeartBeat: s.HeartBeat,
	}
}
