"""What the Amazon provider lacks for operating models, laid out and named as the provider would."""
