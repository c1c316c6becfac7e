package connect

import (
	"fmt"
	"strings"

	gcppubsub "github.com/RichardKnop/machinery/v2/brokers/gcppubsub"
	brokers "github.com/RichardKnop/machinery/v2/brokers/iface"
	"github.com/RichardKnop/machinery/v2/config"
)

const pubSubScheme = "gcppubsub://"

// isPubSub says whether a URL is that of Google Cloud Pub/Sub.
func isPubSub(address string) bool {
	return strings.HasPrefix(address, pubSubScheme)
}

// pubSubBrokerV2 is v2's broker for gcppubsub://project/subscription, which v1 reads by itself. PUBSUB_EMULATOR_HOST
// says where the service is.
func pubSubBrokerV2(cnf *config.Config, address string) (brokers.Broker, error) {
	project, subscription, both := strings.Cut(strings.TrimPrefix(address, pubSubScheme), "/")
	if !both {
		return nil, fmt.Errorf("%s names no subscription", address)
	}
	return gcppubsub.New(cnf, project, subscription)
}
