"""What one check is: knows no Kafka, no database, no threads of the agent."""
