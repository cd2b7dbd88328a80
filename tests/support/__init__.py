"""What tests share: servers, programs, clocks, simulations."""
