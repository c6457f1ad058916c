"""What a new cell of Nova needs: RabbitMQ, nova-manage, and a canary server."""
