/** The members of `fj.callbacks`, with Keras's names and defaults. */
export { type CsvLoggerOptions, csvLogger } from './csv_logger.js'
export { type EarlyStoppingOptions, earlyStopping } from './early_stopping.js'
export { type ModelCheckpointOptions, modelCheckpoint } from './model_checkpoint.js'
export type { MonitorOptions } from './monitor.js'
export { type ReduceLROnPlateauCallbackOptions, reduceLROnPlateau } from './reduce_lr_on_plateau.js'
export { type TensorBoardOptions, tensorBoard } from './tensor_board.js'
export { terminateOnNaN } from './terminate_on_nan.js'
