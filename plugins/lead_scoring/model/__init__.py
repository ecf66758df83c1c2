"""What a packaged model consists of: booster, calibrator, bucket policy, and the files that hold them."""
