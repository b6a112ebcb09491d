//! Shared helpers of the test ladder: where programs and data are, and logits through the library.
pub mod data;
pub mod logits;
pub mod program;

/// A test of each model that there is an oracle of: of the function given, by the model's name.
#[macro_export]
macro_rules! test_each_oracle {
    ($compare:path) => {
        #[test]
        fn abacus() {
            $compare("abacus");
        }

        #[test]
        fn qwen2_tiny() {
            $compare("qwen2-tiny");
        }

        #[test]
        fn qwen2_hd128() {
            $compare("qwen2-hd128");
        }

        #[test]
        fn llama_tiny() {
            $compare("llama-tiny");
        }

        #[test]
        fn qwen3_tiny() {
            $compare("qwen3-tiny");
        }

        #[test]
        fn qwen3moe_tiny() {
            $compare("qwen3moe-tiny");
        }

        #[test]
        fn tiny_phi3() {
            $compare("tiny-phi3");
        }

        #[test]
        fn tiny_gemma3() {
            $compare("tiny-gemma3");
        }
    };
}
