"""What everything else stands on: settings, errors, durable files, locks, fairness and retries."""
