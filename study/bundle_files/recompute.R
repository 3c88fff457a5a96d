# Accuracy and Fleiss' kappa of the call real or synthetic, from judgements.csv alone, in base R: Rscript recompute.R [folder of the bundle]
# Compare with results/realism.csv and results/agreement.csv.

arguments <- commandArgs(trailingOnly = TRUE)
folder <- if (length(arguments) > 0) arguments[1] else "."
as_text <- c(case = "character", reader = "character", site = "character") # a hospital called T or NA is no missing value
judgements <- read.csv(file.path(folder, "judgements.csv"), colClasses = as_text, na.strings = "", encoding = "UTF-8")
scored <- judgements[judgements$role == "scored" & judgements$latest, ] # repeats do not count; a corrected answer counts once, as corrected
right <- scored$called_synthetic == (scored$arm == "synthetic")

cat("readings:", nrow(scored), "\n")
cat("accuracy:", format(mean(right), digits = 10), "\n")
cat("accuracy by site:\n")
print(tapply(right, scored$site, mean), digits = 10)
cat("accuracy by reader:\n")
print(tapply(right, scored$reader, mean), digits = 10)

counts <- table(scored$case, scored$called_synthetic) # a row a case, a column an answer
read <- rowSums(counts)
twice <- read >= 2
observed <- mean(rowSums(counts * (counts - 1))[twice] / (read * (read - 1))[twice])
chance <- sum(colMeans(counts / read)^2)
if (!any(twice) || chance > 1 - 1e-12) {
  cat("Fleiss' kappa: undefined (no case with two readings, or all answers equal)\n")
} else {
  cat("Fleiss' kappa:", format((observed - chance) / (1 - chance), digits = 10), "\n")
}
