"""The pages a person looks at: of a propagation's folder, of a cohort, of a pair. Each is one HTML file."""
