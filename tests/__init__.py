"""The laws of nightpress, each as a test; the folders mirror the package."""
