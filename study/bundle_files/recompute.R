# The main table (accuracy, sensitivity, specificity, AUC by reader and site) and Fleiss' kappa of the call real or synthetic, from judgements.csv
# alone, in base R: Rscript recompute.R [folder of the bundle]. Compare with results/realism.csv and results/agreement.csv.

arguments <- commandArgs(trailingOnly = TRUE)
folder <- if (length(arguments) > 0) arguments[1] else "."
as_text <- c(case = "character", reader = "character", site = "character") # a hospital called T or NA is no missing value
judgements <- read.csv(file.path(folder, "judgements.csv"), colClasses = as_text, na.strings = "", encoding = "UTF-8")
scored <- judgements[judgements$role == "scored" & judgements$latest, ] # repeats do not count; a corrected answer counts once, as corrected
synthetic <- scored$arm == "synthetic"
called <- as.logical(scored$called_synthetic)

# The chance that a synthetic strip was given a higher answer than a real one, ties counting half (Mann and Whitney 1947).
auc <- function(rows) {
  above <- outer(scored$realism[rows & synthetic], scored$realism[rows & !synthetic], "-")
  if (length(above) == 0) NA else mean((above > 0) + 0.5 * (above == 0))
}

share <- function(right) if (length(right) == 0) NA else mean(right)

# AUC: mean of the readers' own, as answers of different readers are never put on one scale.
main_row <- function(group, name, rows) {
  own <- vapply(unique(scored$reader[rows]), function(reader) auc(rows & scored$reader == reader), numeric(1))
  data.frame(
    group = group, name = name, readings = sum(rows), accuracy = share((called == synthetic)[rows]),
    sensitivity = share(called[rows & synthetic]), specificity = share(!called[rows & !synthetic]), AUC = share(own)
  )
}

table_of <- function(group, names, of) do.call(rbind, lapply(names, function(name) main_row(group, name, of == name)))

main <- rbind(
  main_row("all", "all", rep(TRUE, nrow(scored))),
  table_of("site", sort(unique(scored$site)), scored$site),
  table_of("reader", sort(unique(scored$reader)), scored$reader)
)
number <- vapply(main, is.double, logical(1))
main[number] <- lapply(main[number], format, digits = 10)
cat("readings:", nrow(scored), "\n")
write.csv(main, row.names = FALSE, fileEncoding = "UTF-8")

counts <- table(scored$case, called) # a row a case, a column an answer
read <- rowSums(counts)
twice <- read >= 2
observed <- mean(rowSums(counts * (counts - 1))[twice] / (read * (read - 1))[twice])
chance <- sum(colMeans(counts / read)^2)
if (!any(twice) || chance > 1 - 1e-12) {
  cat("Fleiss' kappa: undefined (no case with two readings, or all answers equal)\n")
} else {
  cat("Fleiss' kappa:", format((observed - chance) / (1 - chance), digits = 10), "\n")
}
