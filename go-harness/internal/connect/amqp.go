package connect

import "strings"

// What Machinery uses when its configuration has no amqp section of its own (v1 and v2: config.defaultCnf).
const (
	amqpExchange     = "machinery_exchange"
	amqpExchangeType = "direct"
	amqpBindingKey   = "machinery_task"
)

// isAMQP says whether a URL is that of RabbitMQ.
func isAMQP(address string) bool {
	return strings.HasPrefix(address, "amqp://") || strings.HasPrefix(address, "amqps://")
}
