//! The `reprise` command.

#[cfg(target_os = "linux")]
mod allocator;
mod cli;

#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: allocator::Allocator = allocator::Allocator;

fn main() -> std::process::ExitCode {
    #[cfg(target_os = "linux")]
    allocator::keep_freed_memory();
    if let Some((name, value)) = reprise::gpu::quiet_environment() {
        // SAFETY: no other thread has been started, so nobody reads the environment meanwhile.
        unsafe { std::env::set_var(name, value) };
    }
    cli::main()
}
