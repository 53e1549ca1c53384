"""`antflow.testing`: what plugin authors test their plugins with."""
